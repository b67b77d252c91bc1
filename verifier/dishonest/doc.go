// SPDX-License-Identifier: EUPL-1.2

// Package dishonest is a ledger that lies, for tests alone: an operator who holds all keys of the log, makes its leaves,
// heads, proofs and files with the project's own formats, and answers bodies as it likes. Its tests tell each lie twice,
// once without what makes it one, and have everybody look: the citizen's verifier (C), a monitor that is in the citizen's
// policy and cosigns (M), the witnesses (W), the provider that compares its own numbers and receipts with the log (P), and
// the agency that compares its own log indexes with its list (A). Without the lie all find nothing and the history is
// COMPLETE. With it, exactly these notice, by these codes:
//
//	skips a number                                   - - - P -   P number_gap
//	skips a number, tells the right one              - - - P -   P planted, wrong_tag
//	skips a number, shows all                        C - - P -   C number_absent, stray_event; P number_gap
//	gives a random tag                               - - - P -   P wrong_tag
//	gives a random agency tag                        - - - - A   A not_listed
//	acknowledges and doesn't record                  - - - P A   P leaf_missing; A not_listed
//	skips a number, as the provider does             - - - - -
//	puts an access into +deferred                    - - - P A   P other_scope; A no_order
//	reuses a number                                  C M - P A   C no_monitor; M tag_repeated; P no_monitor, planted, wrong_tag; A no_monitor
//	reuses a number, tells it                        C M - P A   C no_monitor; M tag_repeated; P no_monitor, not_listed, number_gap; A no_monitor
//	tells of a predecessor                           - - - P -   P number_gap
//	plants a predecessor                             C - - P A   C not_opened; P number_gap; A not_listed
//	plants a predecessor afterwards                  C - - P -   C not_ascending, not_opened; P number_gap
//	makes twins of a leaf                            C M - P A   C no_monitor; M tag_repeated; P no_monitor, planted; A no_monitor
//	makes twins, answers with the second             C M - P A   C no_monitor, not_opened; M tag_repeated; P no_monitor, not_listed; A no_monitor, not_listed
//	plants a twin in the other field                 C M - P A   C no_monitor, other_subject, wrong_tag; M tag_repeated; P no_monitor, not_listed; A no_monitor, not_listed
//	plants a twin but for the last bit               C M - P A   C no_monitor; M tag_repeated; P no_monitor, not_listed; A no_monitor, not_listed
//	shows a wrong k                                  C - - - -   C bad_vrf_proof
//	shows the provider a wrong k                     - - - P -   P bad_vrf_proof
//	has a key that proves any k                      C M - P A   C bad_vrf_proof, no_monitor; M bad_vrf_key; P bad_vrf_proof, no_monitor; A bad_vrf_proof, no_monitor
//	opens to another citizen's event                 C - - P A   C other_subject; P other_receipt, other_submission; A recorded_twice
//	writes the citizen into another's receipt        C - - P A   C subject_mismatch; P wrong_subject; A subject_mismatch
//	explains two events with one receipt             C - - P A   C recorded_twice; P other_receipt, other_submission, planted; A recorded_twice
//	hides behind erased                              C - - - A   C not_opened; A not_opened
//	forges a request for erasure                     C - - - A   C bad_signature, not_opened; A not_opened
//	asks for the erasure itself                      - - - - A   A not_opened
//	makes a body take an access back                 C - - P -   C bad_signature; P planted
//	has a stranger take an access back               C - - - -   C not_party
//	freezes heads                                    C M - P A   C stale; M head_gap, head_late; P no_head; A stale
//	back-dates heads by less than ten minutes        - M - - -   M clock_behind
//	back-dates heads by more                         C M - - A   C stale; M clock_behind, head_gap; A stale
//	turns its clock back                             C M - P A   C before_head, head_clock, no_monitor; M clock_back; P no_monitor; A before_head, head_clock, no_monitor
//	dates heads ahead                                C M - P A   C head_ahead, no_monitor; M clock_ahead; P no_head, no_monitor; A head_ahead, no_monitor
//	dates an access to another time                  C - - - A   C before_head; A before_head
//	equivocates                                      C M W P A   C no_monitor, too_few_witnesses; M fork; W refused; P no_monitor; A no_monitor
//	serves an old head                               C - - - -   C stale
//	serves a checkpoint of an hour ago               - - - - -
//	serves a checkpoint of two days ago              C - - - -   C stale
//	shows all an old checkpoint                      - M - - -   M rollback
//	leaves a scope out of the file                   C - - - -   C wrong_scopes
//	leaves a scope out of the head                   C M - P A   C no_monitor; M wrong_head; P no_monitor; A no_monitor
//	leaves an event out of the head                  C M - P A   C no_monitor; M wrong_head; P no_monitor; A no_monitor, not_listed
//	adds a key for a body                            - M - P A   M unannounced_key; P planted, unknown_key; A not_its_own
//	adds a key, for a citizen never served           - M - P -   M unannounced_key; P unknown_key
//	lists a scope of its own for a body's data       - M - P -   M unannounced_scope; P stranger_scope
//	shows two citizens two logs                      C - - - -   C no_monitor, too_few_witnesses
//	shows two citizens two logs, with every witness  C - - - -   C no_monitor
//	shows two citizens two logs, with all who cosign - - - - -
//
// Whoever has a dash finds nothing wrong, and where that is the citizen, the verdict is COMPLETE. In particular:
//
//   - no_monitor is the monitor's finding, not the citizen's, provider's or agency's: it refuses to cosign what is broken, or dated
//     ahead. Its other findings (head_gap, head_late, clock_behind, rollback, what wasn't announced) are alarms with which it
//     goes on cosigning.
//   - Keys and scopes that nobody announced let the operator make accesses up, not hide them: they stand in the list as
//     open. Only who compares the log with announcements, as the monitor here does, or knows its own keys, can tell.
//   - What hides a single access is seen by its provider alone: numbers and tags tell nobody else anything. A provider that
//     doesn't check, or that helps to lie, leaves it hidden ("as the provider does"). It can check only citizens of whom it
//     has a record; that it was made to speak of others, its unknown keys tell.
//   - A false agency tag is seen by that agency alone, and by it only where it kept the log index that it was answered with.
//   - An erasure asked for by somebody else than the citizen breaks no rule. The request is in the citizen's list, with who
//     signed it, and the report's notes name them. To the agency no request is shown but those that it recorded itself: what
//     it can't open, it says.
//   - A file that was right an hour ago is right: the verdict says up to when. After two days it is stale.
//   - Two logs, each with a quorum of corrupt witnesses and a corrupt monitor, look right to both citizens until somebody compares them.
//   - Accesses put into +deferred are the provider's to miss; the citizen's report says that deferred ones may exist.
//
// A second table is of the year's change and of monthly totals. Those who look are the citizen (C), whose policy names the
// old log's key alone; a monitor that follows both logs (M); who runs verifier log (L) and verifier statistics (S); and a
// body that compares its own number with its line (B):
//
//	follows on another past                          C M L S -   C no_monitor, previous_log; M previous_log; L previous_log; S previous_log
//	drops a revocation                               - M - - -   M not_repeated
//	drops a scope                                    - M - - -   M not_repeated
//	repeats a record in other words                  - M - - -   M not_repeated
//	opens the next log under another key             C M L S -   C bad_checkpoint; M bad_signature; L bad_signature; S bad_signature
//	announces no key                                 C M - - -   C bad_checkpoint; M no_log_key
//	announces two keys                               C M - S -   C bad_checkpoint; M bad_signature, record_refused; S bad_signature
//	gives the old log no final head                  C M - - -   C no_monitor, not_final; M head_gap, not_final
//	goes on in the old log                           C M - - -   C after_final, no_monitor, not_final; M after_final
//	turns its clock back over the year               C M - - -   C no_monitor; M clock_back
//	records before the first head                    C M - - -   C no_monitor; M event_before_head
//	adds to a body's total                           - M - S B   M statistics_sum; S statistics_sum; B statistics_own
//	moves events from body to body                   - - - - B   B statistics_own
//	counts fewer events than there are               - M - S B   M statistics_events; S statistics_events; B statistics_own
//	tells of a body with fewer than ten              - M - S -   M statistics_few; S statistics_few
//	leaves a joined line alone                       - M - S -   M statistics_alone; S statistics_alone
//	doesn't tell a month                             - M - S -   M statistics_missing; S statistics_missing
//
// Here too:
//
//   - What was in force and isn't repeated hides no event, so the monitor goes on cosigning; nobody else can tell.
//   - A log that announces two keys lets the operator show two next logs. The first counts, for whoever reads all; verifier
//     log reads backwards and takes the last. The monitor tells of the second record.
//   - That a line is one body's and not another's, only these bodies can tell.
//
// The provider checks each answer as it comes (verifier.Receipt, own.Entries) and its records against the log afterwards
// (verifier.Provider). The agency checks the list that the operator makes for it against the log indexes of its own calls
// (verifier.Agency).
package dishonest
