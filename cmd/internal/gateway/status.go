// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"net/http"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
)

// routeStatus is that of a call to nothing that is served.
func routeStatus(code string) int {
	if code == config.CodeNoMethod {
		return http.StatusMethodNotAllowed
	}
	return http.StatusNotFound
}

// tokenStatus is that of a call whose tokens don't hold: 401 where the consumer has
// to come with another voucher or proof of its key, else 400.
func tokenStatus(p *ledger.Problem) int {
	for _, prefix := range []string{"voucher", "dpop", "header:Authorization", "header:DPoP"} {
		if strings.HasPrefix(p.Where, prefix) {
			return http.StatusUnauthorized
		}
	}
	return http.StatusBadRequest
}

// always is one status for every problem.
func always(status int) func(*ledger.Problem) int {
	return func(*ledger.Problem) int { return status }
}
