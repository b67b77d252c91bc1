// SPDX-License-Identifier: EUPL-1.2

// Package policies decides, for each access, whether it may be: which body may
// consult which category of data about a citizen, for which purpose, on which
// legal basis. Policies are written in Cedar (https://www.cedarpolicy.com) over
// the schema in schema.cedarschema and a vocabulary of terms; a version of both
// is a [Bundle], which the log commits to by digest.
//
// A decision is a function of a bundle and of [ledger.Facts] alone, so that
// anyone who has the bundle replays it offline from what the event's body
// records. An access is allowed if each of its categories is: some policy
// permits it and none forbids it. What no policy allows is denied.
//
// Bundles are kept to a part of Cedar in which each comparison is about one fact
// and constants (see [Compile]). Its policies can't fail to be evaluated, and
// everything they tell apart can be enumerated: that is what makes the
// comparison of two bundles complete.
//
// Nothing is trusted: bundle, facts and decision come from whoever sent them,
// and all are checked. Facts hold no citizen and no operator.
package policies
