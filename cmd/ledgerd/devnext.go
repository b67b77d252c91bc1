// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// printNext says what to try, each line a command that works as it stands.
func printNext(w io.Writer, r ready, g *devGateway, request string, took time.Duration) {
	tool := func(name string) string {
		if _, err := os.Stat(filepath.Join("cmd", name)); err == nil {
			return "go run ./cmd/" + name
		}
		return name
	}
	root := r.node.Latest().Root
	d, h := r.Data, g.hub
	delegate, citizen := h.world.Delegation()
	curl := func(name string) string {
		calls, err := g.calls()
		if err != nil {
			return "" // they were made a moment ago
		}
		for i := range calls {
			c := &calls[i]
			if c.name != name {
				continue
			}
			line := fmt.Sprintf("curl -sS '%s' -H @%s", g.address(c), g.headersFile(c.name))
			if c.body != "" {
				line += " -d @" + g.bodyFile(c.name)
			}
			return line
		}
		return ""
	}
	fmt.Fprintf(w, `
A ledger with sample data serves on %s (%d leaves, %.1f s), and a gateway of INPS's hub on
%s. Stop them with Ctrl-C. Open in a browser:

  %s/it      a citizen's pages: enter as one of the invented people
  %s/it/registro      what the register shows to anyone

%s may act for %s, on the page Per altri.
What is sent by e-mail, to who asks for notices, is a file in %s here.

A municipality asks for a consent; enter, make a passkey, sign, withdraw:

  %s

Try in another terminal, from this directory:

  # a municipality asks INPS's hub for a pension: no receipt, no data. The answer names its receipt in Traccia-Receipt
  %s -i

  # one more such call, its receipt fetched by the hub, and checked offline
  id=$(%s -D - -o %s | sed -n 's/^Traccia-Receipt: \(.*\);.*/\1/p')
  %s receipt fetch "$id" --key %s --ledger %s --url %s --out %s
  %s receipt %s --key %s

  # data about health on a voucher alone: denied by the policies, and recorded as denied
  %s -i

  # INPS pulls flows from a municipality: base64 of XML, a person in each, found and recorded
  %s -i

  # the hub's own memory: how it stands, and compared with the log as each night
  %s status %s
  %s records %s > %s
  %s provider --scope inps --records %s --proofs %s \
    --keys %s --url %s --policy %s --signing-key %s --in-flight 5s

  # a citizen's history: who consulted their data, and that nothing is left out
  %s history --data %s --subject-file %s --out %s
  %s history %s --policy %s

  # check a receipt offline: nothing but two files
  %s receipt %s --key %s

  # follow the public log: signature, consistency with what was seen before
  %s log %s/log/%d --key %s --state %s

  # send the same submission again: the same entry, nothing new
  %s receipt submit %s --url %s --out %s

  # who is registered, with which keys
  %s body list --data %s

  # health and metrics
  curl -s %s/status
  curl -s %s
`,
		r.URL, root.Size, took.Seconds(), g.url,
		pagesOrigin(r.URL), pagesOrigin(r.URL), delegate, citizen, outbox(d), request,
		curl("pensioni"),
		curl("pensioni"), h.path("answer.json"),
		tool("agency"), h.keyFile(), devName, r.URL, h.path("call.json"),
		tool("verifier"), h.path("call.json"), r.LogKeyFile,
		curl("negata"),
		curl("flussi"),
		tool("gateway"), h.configFile(),
		tool("gateway"), h.configFile(), h.path("own.ndjson"),
		tool("verifier"), h.path("own.ndjson"), h.path("proofs.ndjson"), h.keysFile(), r.URL, r.PolicyFile, h.keyFile(),
		tool("ledgerd"), d, subjectFile(d), historyFile(d),
		tool("verifier"), historyFile(d), r.PolicyFile,
		tool("verifier"), filepath.Join(d, "sample", "receipt.json"), r.LogKeyFile,
		tool("verifier"), r.URL, r.node.Epoch(), r.LogKeyFile, filepath.Join(d, "sample", "log.state"),
		tool("agency"), filepath.Join(d, "sample", "submission.json"), r.URL, filepath.Join(d, "sample", "again.json"),
		tool("ledgerd"), d, r.URL, r.MetricsURL)
}
