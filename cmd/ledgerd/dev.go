// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/web/standin"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// devName is the name of the sample ledger.
const devName = standin.Ledger

func devCommand() *cobra.Command {
	var flags serveFlags
	var load sampleLoad
	var data string
	var once bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Try it: a ledger with sample data, on this machine",
		Long: `Makes a ledger in DIR with keys of its own, registers the real bodies of PDND's
open data (some forty of them with keys, INPS's hub as a scope), lets a local
stand-in for PDND issue vouchers, records some thousands of accesses over
invented citizens, shaped by PDND's real token counts, has the hub compare its
gateway's memory with the log, and serves it all.

The hub's gateway serves too, before a sample of INPS's hub and one of a
municipality, which answer with the published examples of Welfare as a Service.
Some consumers call them through it, and what is printed calls them again. A sample
witness and a sample monitor cosign what is published. All of it runs in the ledger's
own process, so it shows how it works and proves nothing.

Started again it goes on with the data it has. With --once it loads, verifies
the whole log as an outsider would, prints a summary and ends.`,
		Example: `  ledgerd dev
  ledgerd dev --receipts 20000 --data /tmp/traccia --listen 127.0.0.1:0
  ledgerd dev --once --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun := time.Now()
			if load.receipts < 0 {
				return cli.WrongFlag("--receipts", "0 or more", strconv.Itoa(load.receipts))
			}
			log := slog.New(slog.DiscardHandler)
			if !once {
				log = logger(cmd)
			} else {
				flags.listen = "127.0.0.1:0"
			}
			world, fresh, err := prepareDev(cmd.Context(), data, load.seed, log)
			if err != nil {
				return err
			}
			w, err := startWitness(filepath.Join(data, "dev"))
			if err != nil {
				return err
			}
			defer w.close()
			if err := w.watch(filepath.Join(data, "dev"), filepath.Join(data, "log.vkey"), policyFile(data)); err != nil {
				return err
			}
			ctx, end := context.WithCancel(cmd.Context())
			defer end()
			var site devVerifier
			flags.pages = devPages(world, site.Load)
			hub := newDevHub(data, world)
			if err := hub.prepare(fresh); err != nil {
				return err
			}
			var edge *devGateway
			var summary *devSummary
			err = run(ctx, data, node.Options{Log: log, Policies: policies.Open, Consents: webauthn.Rules{}}, flags, func(r *ready) error {
				w.attach(ctx, r.node, log)
				if fresh {
					if err := load.into(ctx, cmd, r.node, world, hub); err != nil {
						return err
					}
				}
				if err := r.node.Settle(ctx); err != nil {
					return err
				}
				var err error
				if edge, err = newDevGateway(hub, r.URL, log); err != nil {
					return err
				}
				if fresh {
					if err := hub.attest(ctx); err != nil {
						return err
					}
					if err := writeSampleHistory(ctx, r.node); err != nil {
						return err
					}
				}
				r.PolicyFile = policyFile(data)
				if once {
					defer end()
					summary, err = verifyDev(ctx, cmd, *r)
					return err
				}
				if err := edge.start(ctx); err != nil {
					return err
				}
				if err := edge.consume(ctx); err != nil {
					return err
				}
				r.GatewayURL = edge.url
				go site.build(ctx, r.node, log)
				if err := recordMandate(ctx, r.node, world); err != nil {
					return err
				}
				request, err := sampleRequest(world, r.URL, r.node.Now())
				if err != nil {
					return err
				}
				printNext(cmd.OutOrStdout(), *r, edge, request, time.Since(begun))
				return nil
			})
			end()
			if edge != nil {
				edge.close()
			}
			if err != nil || !once {
				return err
			}
			summary.Receipts, summary.Seconds = load.receipts, time.Since(begun).Seconds()
			if !fresh {
				summary.Receipts = 0
			}
			return cli.Print(cmd, summary)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&data, "data", "traccia-data", "the sample ledger's directory")
	cmd.Flags().IntVar(&load.receipts, "receipts", 5000, "accesses to record into a new ledger")
	cmd.Flags().Uint64Var(&load.seed, "seed", 1, "of the invented citizens and accesses")
	cmd.Flags().BoolVar(&once, "once", false, "load, verify the whole log as an outsider would, and end")
	cmd.MarkFlagDirname("data")
	return cmd
}

// prepareDev makes the sample ledger unless it is there, and the world that
// its accesses come from.
func prepareDev(ctx context.Context, dir string, seed uint64, log *slog.Logger) (world *dev.World, fresh bool, err error) {
	keysDir := filepath.Join(dir, "dev")
	if err := os.MkdirAll(keysDir, 0o700); err != nil {
		return nil, false, fmt.Errorf("couldn't make the sample ledger: %w", err)
	}
	if world, err = dev.NewWorld(dev.Config{Dir: keysDir, Ledger: devName, Seed: seed}); err != nil {
		return nil, false, err
	}
	settings, err := node.ReadSettings(dir)
	switch {
	case err == nil && settings.Name != devName:
		return nil, false, cli.Usagef("%s holds the ledger %s, not a sample one: use another --data", dir, settings.Name)
	case err == nil:
		_, err = os.Stat(loadedFile(dir))
		return world, errors.Is(err, os.ErrNotExist), nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, false, err
	}
	return world, true, node.Create(ctx, dir, node.Settings{
		Name:          devName,
		WitnessPolicy: filepath.Base(policyFile(dir)),
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join("dev", dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join("dev", dev.ClientKeysFile)},
		},
	}, node.Options{Log: log})
}

// loadedFile says that the sample data are in: loading isn't begun again.
func loadedFile(dir string) string { return filepath.Join(dir, "sample", "receipt.json") }

func policyFile(dir string) string { return filepath.Join(dir, "policy.txt") }

// subjectFile has the code of the citizen of the sample receipt, historyFile
// their history.
func subjectFile(dir string) string { return filepath.Join(dir, "sample", "subject.txt") }
func historyFile(dir string) string { return filepath.Join(dir, "sample", "subject.history") }

// sampleLoad is what a new sample ledger is filled with.
type sampleLoad struct {
	receipts int
	seed     uint64
}

// into registers the bodies and records the accesses.
func (l sampleLoad) into(ctx context.Context, cmd *cobra.Command, n *node.Node, w *dev.World, hub *devHub) error {
	if id, _ := w.Hub(); !slices.Contains(n.Registry().Scopes(), id) {
		if err := registerBodies(ctx, n, w); err != nil {
			return err
		}
	}
	if _, active := n.Registry().Policy(math.MaxUint64); !active {
		if _, err := n.ActivatePolicies(ctx, policies.Default()); err != nil {
			return err
		}
	}
	if err := hub.begin(ctx, n); err != nil {
		return errors.Join(err, hub.end())
	}
	progress := cli.NewProgress(cmd, "recording accesses", int64(l.receipts))
	defer progress.Close()
	var next atomic.Int64
	g, loading := errgroup.WithContext(ctx)
	for range 32 * runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= l.receipts || loading.Err() != nil {
					return loading.Err()
				}
				if err := l.record(loading, n, w, hub, i); err != nil {
					return fmt.Errorf("couldn't record sample access %d: %w", i, err)
				}
				progress.Add(1)
			}
		})
	}
	err := g.Wait()
	if err == nil {
		err = writeSample(ctx, n, w, hub, l.receipts)
	}
	return errors.Join(err, hub.end())
}

func (l sampleLoad) record(ctx context.Context, n *node.Node, w *dev.World, hub *devHub, i int) error {
	sub, err := w.Submission(i)
	if err != nil {
		return err
	}
	_, err = hub.record(ctx, n, sub)
	return err
}

// registerBodies writes the records of all of PDND's bodies, of the keys that
// some have here, and of INPS's hub: those that an interrupted run left out.
func registerBodies(ctx context.Context, n *node.Node, w *dev.World) error {
	all, err := dev.AllBodies()
	if err != nil {
		return err
	}
	var bodies []registry.Body
	for _, b := range all {
		if _, known := n.Registry().Body(b.ID); !known {
			bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes})
		}
	}
	if len(bodies) > 0 {
		if _, err := n.AddBodies(ctx, bodies); err != nil {
			return err
		}
	}
	for _, b := range w.Bodies() {
		key, ok := w.Key(b.ID)
		if _, known := n.Registry().KeyIndex(b.ID, key.Kid); known || !ok {
			continue
		}
		if _, err := n.AddKey(ctx, b.ID, key, ""); err != nil {
			return err
		}
	}
	hub, providers := w.Hub()
	_, err = n.SetScope(ctx, registry.Scope{ID: hub, Providers: providers})
	return err
}

// writeSample leaves files to try the other commands on: a submission, the
// receipt it got, and what it was signed from.
func writeSample(ctx context.Context, n *node.Node, w *dev.World, hub *devHub, receipts int) error {
	dir := filepath.Join(n.Dir, "sample")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("couldn't write the samples: %w", err)
	}
	submission, receipt, subject, err := sample(ctx, n, w, hub, receipts)
	if err != nil {
		return fmt.Errorf("couldn't record a sample: %w", err)
	}
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{filepath.Join(dir, "submission.json"), submission, 0o600},
		{subjectFile(n.Dir), []byte(subject + "\n"), 0o600},
		{loadedFile(n.Dir), receipt, 0o600}, // last: it says that loading is done
	} {
		if err := os.WriteFile(f.path, f.data, f.mode); err != nil {
			return fmt.Errorf("couldn't write the samples: %w", err)
		}
	}
	return nil
}

// writeSampleHistory leaves the history of the sample receipt's citizen, while
// the sample witness and monitor are there to cosign it.
func writeSampleHistory(ctx context.Context, n *node.Node) error {
	subjects, err := readSubjects(subjectFile(n.Dir))
	if err != nil {
		return err
	}
	file, err := doHistory(ctx, n, &historyCall{Subject: subjects[0]})
	if err != nil {
		return fmt.Errorf("couldn't make a sample history: %w", err)
	}
	_, err = writeHistory(historyFile(n.Dir), file)
	return err
}

// sample sends one of the last accesses once more and returns both sides.
func sample(ctx context.Context, n *node.Node, w *dev.World, hub *devHub, receipts int) (submission, receipt []byte, subject ledger.Subject, err error) {
	last := max(receipts-1, 0)
	sub, err := w.Submission(last)
	for ; err == nil && len(sub.Subjects) > 1 && last > 0; last-- {
		sub, err = w.Submission(last - 1)
	}
	if err != nil {
		return nil, nil, "", err
	}
	if submission, err = ledger.FormatSubmission(sub); err != nil {
		return nil, nil, "", err
	}
	answer, err := hub.record(ctx, n, sub)
	if err != nil {
		return nil, nil, "", err
	}
	receipt, err = ledger.FormatAnswer(answer)
	return append(submission, '\n'), append(receipt, '\n'), sub.Subjects[0].Subject, err
}
