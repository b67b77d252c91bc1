// SPDX-License-Identifier: EUPL-1.2

package ledger

import "slices"

// Kinds of event.
const (
	KindAccess           = "access"
	KindDenied           = "denied"      // an access that was refused
	KindCorrection       = "correction"  // a statement on an access: recorded in error
	KindDispute          = "dispute"     // a statement on an access: not asked for
	KindUndelivered      = "undelivered" // a statement on an access: nothing was released
	KindConsentGiven     = "consent-given"
	KindConsentRefused   = "consent-refused"
	KindConsentWithdrawn = "consent-withdrawn"
	KindConsentExpired   = "consent-expired"
	KindPasskeyEnrolled  = "passkey-enrolled"
	KindPasskeyRevoked   = "passkey-revoked"
	KindEntitlementGiven = "entitlement-given" // a body's act that stands where a consent could
	KindEntitlementEnded = "entitlement-ended"
	KindMandateGiven     = "mandate-given" // to a delegate
	KindMandateEnded     = "mandate-ended"
	KindRequest          = "request" // a citizen's request, in ScopeConsent
	KindLookUp           = "look-up" // in ScopeLedger
)

// What a ledger's own look-ups say that they were for: a citizen, or who acts for them, was shown a copy of their data. No policy
// decides on them.
const (
	PurposeLookUp          = "Copia dello storico degli accessi, chiesta dall'interessato"
	PurposeLookUpDelegated = "Copia dello storico degli accessi, chiesta da chi agisce per l'interessato"
)

// Classes of the keys that seal bodies, as package seal names them (formats §6).
const (
	classAccess  = "access"
	classConsent = "consent"
	classLookUp  = "look-up"
)

// Kind says what events of one kind have in common. Whatever differs by kind and
// isn't about its content stands here, and nowhere else.
type Kind struct {
	Name  string // a Kind constant
	Class string // of the key that seals its bodies (formats §6), as package seal names it
	// Scope is where its events are kept, signed by their agency; "" where that
	// follows from the receipt's issuer and provider (formats §3).
	Scope string
	// Role is what its receipt is signed as; "" where the scope says: consumer in
	// ScopeReported, else provider.
	Role string
	// Statement is what its receipt states of another receipt; "" where it states
	// nothing.
	Statement string
	Consent   bool // about consent, passkeys and mandates: its body has a consent member
}

var kinds = []Kind{
	{Name: KindAccess, Class: classAccess},
	{Name: KindDenied, Class: classAccess},
	{Name: KindCorrection, Class: classAccess, Statement: StatementError},
	{Name: KindUndelivered, Class: classAccess, Statement: StatementUndelivered},
	{Name: KindDispute, Class: classAccess, Role: RoleConsumer, Statement: StatementNotAsked},
	{Name: KindConsentGiven, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindConsentRefused, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindConsentWithdrawn, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindConsentExpired, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindPasskeyEnrolled, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindPasskeyRevoked, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindEntitlementGiven, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindEntitlementEnded, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindMandateGiven, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindMandateEnded, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester, Consent: true},
	{Name: KindRequest, Class: classConsent, Scope: ScopeConsent, Role: RoleRequester},
	{Name: KindLookUp, Class: classLookUp, Scope: ScopeLedger, Role: RoleRequester},
}

// KindOf returns what is common to a kind of event; false where there is none of
// that name.
func KindOf(name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// Accesses says whether the kind is of accesses, granted or refused: those that a
// body makes by a call over PDND.
func (k Kind) Accesses() bool { return k.Scope == "" && k.Statement == "" }

// RoleIn is what the receipt of an event of this kind in a scope is signed as; ""
// where that is left open.
func (k Kind) RoleIn(scope string) string {
	switch {
	case k.Role != "" || k.Scope != "":
		return k.Role
	case scope == ScopeReported:
		return RoleConsumer
	}
	return RoleProvider
}

func kindNames() (names []string) {
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}
