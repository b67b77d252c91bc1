// SPDX-License-Identifier: EUPL-1.2

package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Policy says whose signatures make a checkpoint believable: one of the logs, K of the witnesses, and, for what needs a
// monitor too, one of the monitors. FormatPolicy and ParsePolicy write and read it as a c2sp.org/tlog-policy file of one
// shape:
//
//	# Any line may be a comment.
//	log registro.example/2026+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
//	witness alfa alfa.example+4d6e9a53+BGvT…
//	witness beta beta.example+93e16b3f+BNmF… https://beta.example/witness
//	witness gamma gamma.example+c1f09a77+BAR3…
//	witness mona monitor.example+7be31420+BKzP…
//	group witnesses 2 alfa beta gamma
//	group monitors any mona
//	quorum witnesses
//
// The quorum is one group of witnesses, no groups in it. A group named monitors, always "any", holds the separate keys
// under which monitors cosign after verifying every head. Every witness is in one group; no public key is there twice.
// Our one addition is a line "faults 1", for a policy that states how many witnesses may be faulty; without it a file is
// one that every reader of tlog-policy takes.
//
// Whether K is enough is checked as docs/formats.md §5 says: 2K > n + F, 0 ≤ F < n.
type Policy struct {
	Logs      []Log
	Witnesses []Witness // n of them
	K         int
	F         int // how many of the n may be faulty; Faults(n) unless stated
	Monitors  []Witness
}

// Log is a log that a policy takes.
type Log struct {
	VKey string // Ed25519
	URL  string // optional: the prefix of its read API
}

// Witness is a witness or a monitor, known to the policy by Name.
type Witness struct {
	Name string
	VKey string // of cosignatures: Ed25519 (0x04) or ML-DSA-44 (0x06)
	URL  string // optional: its submission prefix
}

// Cosignature says that a witness saw a checkpoint at a time.
type Cosignature struct {
	Witness string // the name in the policy
	Time    time.Time
}

// Cosigned is a checkpoint that a log of the policy signed, and who cosigned it.
type Cosigned struct {
	Checkpoint
	Witnesses []Cosignature
	Monitors  []Cosignature
	// Latest is the time of the latest of Witnesses. A single witness whose clock is ahead moves it.
	Latest time.Time
}

// ErrQuorum says that too few witnesses cosigned.
var ErrQuorum = errors.New("too few witnesses cosigned")

// Faults returns how many of n witnesses a policy that doesn't say takes to be faulty: ⌊(n−1)/3⌋.
func Faults(n int) int { return max(0, (n-1)/3) }

// LeastQuorum returns the least k for which 2k > n + f: any two quorums then share more than f witnesses, one of them
// honest.
func LeastQuorum(n, f int) int { return (n+f)/2 + 1 }

// Open returns the checkpoint in signed and who cosigned it. The error is ErrCheckpoint if no log of the policy signed
// it, if it is malformed or if a signature of a known key is bad; it is ErrQuorum if fewer than K witnesses cosigned, and
// then the answer still says who did. Monitors don't count towards K: the caller that needs one looks at Monitors.
//
// Cosignatures timed 0 make no statement about time and aren't counted, nor are those after the year 9999. Whether a time
// is too far from now is for the caller to say.
func (p *Policy) Open(signed []byte) (Cosigned, error) {
	k, err := p.keys()
	if err != nil {
		return Cosigned{}, err
	}
	c, n, err := open(signed, k.logs, slices.Concat(k.witnesses, k.monitors))
	if err != nil {
		return Cosigned{}, err
	}
	out := Cosigned{
		Checkpoint: c,
		Witnesses:  cosignatures(n, p.Witnesses, k.witnesses),
		Monitors:   cosignatures(n, p.Monitors, k.monitors),
	}
	for _, w := range out.Witnesses {
		if w.Time.After(out.Latest) {
			out.Latest = w.Time
		}
	}
	if len(out.Witnesses) < p.K {
		return out, ErrQuorum
	}
	return out, nil
}

// lastTime is the last second that RFC 3339 can write, in Unix time.
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

func cosignatures(n *note.Note, witnesses []Witness, keys []note.Verifier) []Cosignature {
	var out []Cosignature
	for i, v := range keys {
		s := signature(n, v)
		if s == nil {
			continue
		}
		t, err := f_note.CoSigV1Timestamp(*s)
		if err != nil || t.Unix() <= 0 || t.Unix() > lastTime {
			continue
		}
		out = append(out, Cosignature{Witness: witnesses[i].Name, Time: t.UTC()})
	}
	return out
}

// keys checks the policy whole, and returns its verifiers in the order of its fields.
func (p *Policy) keys() (k struct{ logs, witnesses, monitors []note.Verifier }, err error) {
	wrapped := make(map[string]bool)
	add := func(list *[]note.Verifier, what, vkey, site string, algs ...byte) error {
		v, key, err := parseVKey(vkey, algs...)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if wrapped[key] {
			return fmt.Errorf("%s: a public key that is there already", what)
		}
		wrapped[key] = true
		if site != "" {
			if u, err := url.Parse(site); err != nil || u.Scheme == "" || u.Host == "" || !isWord(site) {
				return fmt.Errorf("%s: malformed URL", what)
			}
		}
		*list = append(*list, v)
		return nil
	}
	for i, l := range p.Logs {
		if err := add(&k.logs, fmt.Sprintf("log %d", i+1), l.VKey, l.URL, algEd25519); err != nil {
			return k, err
		}
	}
	names := make(map[string]bool)
	for i, w := range slices.Concat(p.Witnesses, p.Monitors) {
		if !isName(w.Name) || w.Name == groupWitnesses || w.Name == groupMonitors || names[w.Name] {
			return k, fmt.Errorf("witness %q: a bad or repeated name", w.Name)
		}
		names[w.Name] = true
		list := &k.witnesses
		if i >= len(p.Witnesses) {
			list = &k.monitors
		}
		if err := add(list, fmt.Sprintf("witness %q", w.Name), w.VKey, w.URL, algCosignature, algMLDSA); err != nil {
			return k, err
		}
	}
	n := len(p.Witnesses)
	switch {
	case len(k.logs) == 0:
		return k, errors.New("a policy has at least one log")
	case n == 0:
		return k, errors.New("a policy has at least one witness")
	case p.F < 0 || p.F >= n:
		return k, fmt.Errorf("%d faulty of %d witnesses: expected 0 to %d", p.F, n, n-1)
	case p.K > n || p.K < LeastQuorum(n, p.F):
		return k, fmt.Errorf("a quorum of %d of %d witnesses, %d of them faulty: expected %d to %d", p.K, n, p.F, LeastQuorum(n, p.F), n)
	}
	return k, nil
}

// The names of the groups that FormatPolicy writes.
const (
	groupWitnesses = "witnesses"
	groupMonitors  = "monitors"
)

// FormatPolicy returns p as a file.
func FormatPolicy(p *Policy) ([]byte, error) {
	if _, err := p.keys(); err != nil {
		return nil, fmt.Errorf("couldn't format policy: %w", err)
	}
	var b bytes.Buffer
	line := func(words ...string) { fmt.Fprintln(&b, strings.TrimRight(strings.Join(words, " "), " ")) }
	for _, l := range p.Logs {
		line("log", l.VKey, l.URL)
	}
	group := func(name, k string, members []Witness) {
		words := []string{"group", name, k}
		for _, w := range members {
			line("witness", w.Name, w.VKey, w.URL)
			words = append(words, w.Name)
		}
		line(words...)
	}
	group(groupWitnesses, strconv.Itoa(p.K), p.Witnesses)
	if len(p.Monitors) > 0 {
		group(groupMonitors, "any", p.Monitors)
	}
	if p.F != Faults(len(p.Witnesses)) {
		line("faults", strconv.Itoa(p.F))
	}
	line("quorum", groupWitnesses)
	return b.Bytes(), nil
}

// ParsePolicy parses a policy file and checks it whole; the error names the line, or what is missing.
func ParsePolicy(file []byte) (*Policy, error) {
	for _, c := range file {
		if c < 0x20 && c != '\t' && c != '\n' || c == 0x7f {
			return nil, errors.New("couldn't parse policy: a control character")
		}
	}
	r := policyReader{
		witnesses: make(map[string]Witness),
		groups:    make(map[string]group),
		grouped:   make(map[string]bool),
		faults:    -1,
	}
	for i, text := range strings.Split(string(file), "\n") {
		words := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\t' })
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := r.line(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("couldn't parse policy, line %d: %w", i+1, err)
		}
	}
	p, err := r.policy()
	if err != nil {
		return nil, fmt.Errorf("couldn't parse policy: %w", err)
	}
	return p, nil
}

// policyReader holds what the lines read so far define.
type policyReader struct {
	logs      []Log
	witnesses map[string]Witness
	groups    map[string]group
	grouped   map[string]bool // names of witnesses in a group
	quorum    string
	faults    int // -1: not stated
}

type group struct {
	k       int
	members []Witness
}

func (r *policyReader) line(keyword string, args []string) error {
	switch {
	case keyword == "log" && (len(args) == 1 || len(args) == 2):
		args = append(args, "")
		r.logs = append(r.logs, Log{VKey: args[0], URL: args[1]})
	case keyword == "witness" && (len(args) == 2 || len(args) == 3):
		args = append(args, "")
		if err := r.define(args[0]); err != nil {
			return err
		}
		r.witnesses[args[0]] = Witness{Name: args[0], VKey: args[1], URL: args[2]}
	case keyword == "group" && len(args) >= 3:
		return r.group(args[0], args[1], args[2:])
	case keyword == "faults" && len(args) == 1 && r.faults < 0:
		f, err := parseCount(args[0])
		if err != nil {
			return err
		}
		r.faults = f
	case keyword == "quorum" && len(args) == 1 && r.quorum == "":
		if _, ok := r.groups[args[0]]; !ok || args[0] == groupMonitors {
			return fmt.Errorf("quorum %q: expected a group of witnesses defined above", args[0])
		}
		r.quorum = args[0]
	default:
		return errors.New("expected log VKEY [URL], witness NAME VKEY [URL], group NAME K NAME…, and once quorum NAME and faults F")
	}
	return nil
}

func (r *policyReader) group(name, count string, members []string) error {
	if err := r.define(name); err != nil {
		return err
	}
	var g group
	for _, m := range members {
		w, ok := r.witnesses[m]
		if !ok {
			return fmt.Errorf("group %q: %q isn't a witness defined above", name, m)
		}
		if r.grouped[m] {
			return fmt.Errorf("group %q: %q is in a group already", name, m)
		}
		r.grouped[m] = true
		g.members = append(g.members, w)
	}
	switch count {
	case "any":
		g.k = 1
	case "all":
		g.k = len(g.members)
	default:
		k, err := parseCount(count)
		if err != nil {
			return err
		}
		g.k = k
	}
	if g.k < 1 || g.k > len(g.members) || name == groupMonitors && g.k != 1 {
		return fmt.Errorf("group %q: %s of %d", name, count, len(g.members))
	}
	r.groups[name] = g
	return nil
}

func (r *policyReader) define(name string) error {
	_, witness := r.witnesses[name]
	_, group := r.groups[name]
	if !isName(name) || witness || group {
		return fmt.Errorf("%q: a bad or repeated name", name)
	}
	return nil
}

func (r *policyReader) policy() (*Policy, error) {
	if r.quorum == "" {
		return nil, errors.New("no quorum line")
	}
	q, monitors := r.groups[r.quorum], r.groups[groupMonitors]
	if len(q.members)+len(monitors.members) != len(r.witnesses) {
		return nil, fmt.Errorf("a witness that is neither in the quorum's group nor in %q", groupMonitors)
	}
	p := &Policy{Logs: r.logs, Witnesses: q.members, K: q.k, F: r.faults, Monitors: monitors.members}
	if r.faults < 0 {
		p.F = Faults(len(q.members))
	}
	_, err := p.keys()
	return p, err
}

// parseCount parses a number as it is written here: decimal, without sign or leading zeros.
func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%q: expected a number, any or all", s)
	}
	return n, nil
}

// isName reports whether s can name a witness or group. "none" is a name of tlog-policy's own.
func isName(s string) bool { return isWord(s) && s[0] != '#' && s != "none" }

// isWord reports whether s is one word of a policy file.
func isWord(s string) bool {
	return s != "" && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c <= 0x20 || c == 0x7f })
}
