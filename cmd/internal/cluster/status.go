// SPDX-License-Identifier: EUPL-1.2

package cluster

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// nodeStatus is what /status says of the node that was asked, in its member node:
//
//	"node":{"role":"follower","sequencer":"https://node1.registro.example"}
type nodeStatus struct {
	Role      string `json:"role"`                // sequencer or follower
	Sequencer string `json:"sequencer,omitempty"` // where the one that sequences takes requests; absent while none does
}

func (v *view) status(own string) nodeStatus {
	switch {
	case v.service != nil:
		return nodeStatus{"sequencer", own}
	case v.reachable():
		return nodeStatus{"follower", v.lease.URL}
	}
	return nodeStatus{Role: "follower"}
}

// serveStatus answers with the status of the ledger, as the node that sequences
// gives it, and with this node's own.
func (m *Member) serveStatus(w http.ResponseWriter, r *http.Request) {
	whole := &heldAnswer{ResponseWriter: w, holds: func(int) bool { return true }}
	method := r.Method
	r.Method = http.MethodGet
	m.serve(whole, r)
	if whole.status == 0 {
		return // the client is gone
	}
	body := whole.body.Bytes()
	var st map[string]any
	if json.Unmarshal(body, &st) == nil && st["origin"] != nil { // else it is a problem: nobody gave it
		st["node"] = m.view().status(m.URL)
		if with, err := json.Marshal(st); err == nil {
			body = with
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(whole.status)
	if method != http.MethodHead {
		w.Write(body)
	}
}
