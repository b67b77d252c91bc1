// SPDX-License-Identifier: EUPL-1.2

package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	virtual "github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// Environment of the tests in a browser: where the file axe.min.js of npm's axe-core is, and a directory for pictures of what
// was looked at. Without the first the pages are opened and not judged.
const (
	axeVariable     = "TRACCIA_AXE"
	pictureVariable = "TRACCIA_SCREENSHOTS"
)

// Sizes of a window.
var (
	Desktop = Size{1280, 900}
	Phone   = Size{320, 640}
)

// Size in CSS pixels.
type Size struct{ Width, Height int64 }

// Browser is a real one with a profile of its own, that ends with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
	axe string
}

// NewBrowser starts one. The test is skipped, and says so, where there is no Chromium.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: no Chromium here, so no real browser looks at the pages in this run")
	}
	b := &Browser{t: t}
	if file := os.Getenv(axeVariable); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%s: %v", axeVariable, err)
		}
		b.axe = string(text)
	} else {
		t.Logf("NOT CHECKED: accessibility with axe-core: %s names no axe.min.js", axeVariable)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-quic", true), chromedp.UserDataDir(t.TempDir()))
	ctx, end := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(end)
	ctx, end = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(end)
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo).Printf
	b.ctx, end = chromedp.NewContext(ctx, chromedp.WithLogf(quiet), chromedp.WithErrorf(quiet))
	t.Cleanup(end)
	// The browser lives as long as the context in which it is started.
	if err := chromedp.Do(b.ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("couldn't start %s: %v", path, err)
	}
	b.Media("")
	return b
}

func (b *Browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, time.Minute)
	defer end()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("couldn't %s: %v", what, err)
	}
}

// SetCookie gives it a cookie of an address.
func (b *Browser) SetCookie(url, name, value string) {
	b.t.Helper()
	secure := strings.HasPrefix(url, "https:")
	if _, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: url, Path: "/", Secure: &secure}); err != nil {
		b.t.Fatal(err)
	}
}

// Authenticate gives it a device that makes passkeys and signs with them, as often as it is asked. What it returns says whether
// the device recognises its owner, who is, until then.
func (b *Browser) Authenticate() (recognise func(bool)) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, virtual.Enable, virtual.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	added, err := chromedp.Call(b.ctx, virtual.AddVirtualAuthenticator, virtual.AddVirtualAuthenticatorParams{Options: &virtual.VirtualAuthenticatorOptions{
		Protocol: virtual.AuthenticatorProtocolCtap2, Ctap2version: virtual.Ctap2versionCtap21, Transport: virtual.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, AutomaticPresenceSimulation: true, IsUserVerified: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return func(is bool) {
		b.t.Helper()
		if _, err := chromedp.Call(b.ctx, virtual.SetUserVerified, virtual.SetUserVerifiedParams{AuthenticatorID: added.AuthenticatorID, IsUserVerified: is}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Resize makes its window another size.
func (b *Browser) Resize(s Size) {
	b.t.Helper()
	b.do("resize", chromedp.EmulateViewport(s.Width, s.Height))
}

// Media emulates a medium, "print" or "" for a screen, and what else the citizen set, by feature and value. Nothing moves: half
// of a transition is neither of the two colours.
func (b *Browser) Media(media string, features ...string) {
	b.t.Helper()
	p := emulation.SetEmulatedMediaParams{Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}}
	for i := 0; i < len(features); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p); err != nil {
		b.t.Fatal(err)
	}
}

// Zone has it be where another time is told.
func (b *Browser) Zone(name string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name}); err != nil {
		b.t.Fatal(err)
	}
}

// Open goes to an address.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.do("open "+url, chromedp.Navigate(url))
}

// Click does so on what a CSS selector finds, and waits until what another one finds is visible.
func (b *Browser) Click(selector, then string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector)), chromedp.WaitVisible(chromedp.CSS(then)))
}

// Press types keys.
func (b *Browser) Press(keys string) {
	b.t.Helper()
	b.do("press keys", chromedp.KeyEvent(keys))
}

// Wait waits until what a CSS selector finds is visible.
func (b *Browser) Wait(selector string) {
	b.t.Helper()
	script := fmt.Sprintf(`document.querySelector(%q)?.checkVisibility() === true`, selector)
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var visible bool
		if visible, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool](script)); err == nil && visible {
			return
		}
	}
	b.t.Fatalf("couldn't find %s: %v", selector, err)
}

// Eval runs a script in the page.
func Eval[T any](b *Browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// Look keeps a picture of the page, opens every part of it that can be opened, and has axe-core judge it by WCAG 2.1 A and AA: any
// violation fails the test, but of the rules excepted. So does a page wider than its window.
func (b *Browser) Look(name string, except ...string) {
	b.t.Helper()
	b.picture(name)
	Eval[bool](b, `document.querySelectorAll('main details').forEach(d => d.open = true), true`)
	if wide := Eval[[]int](b, `[document.documentElement.scrollWidth, document.documentElement.clientWidth]`); wide[0] > wide[1] {
		b.t.Errorf("%s is %d pixels wide in a window of %d", name, wide[0], wide[1])
	}
	if b.axe == "" {
		return
	}
	Eval[bool](b, b.axe+"\n;true")
	found := Eval[string](b, `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], resultTypes: ['violations']})
		.then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + ' ' + n.failureSummary)}))))`)
	var violations []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		if slices.Contains(except, v.ID) {
			continue
		}
		b.t.Errorf("%s: axe %s: %s\n%s", name, v.ID, v.Help, strings.Join(v.Nodes[:min(3, len(v.Nodes))], "\n"))
	}
}

func (b *Browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv(pictureVariable)
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.png", name)), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("couldn't keep a picture of %s: %v", name, err)
	}
}
