package auth

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

func TestTokenForm(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text, id, hash := NewToken()
		gotID, gotHash, ok := ParseToken(text)
		if !ok || gotID != id || gotHash != hash || eventlog.CheckTokenID(id) != nil || seen[text] || !strings.HasPrefix(text, "dvr_"+id+"_") {
			t.Fatalf("%s: %s, %v", text, gotID, ok)
		}
		if secret := text[len("dvr_"+id+"_"):]; sha256.Sum256([]byte(secret)) != hash {
			t.Fatal("the hash is not that of the secret")
		}
		seen[text] = true
	}
	text, id, _ := NewToken()
	for _, bad := range []string{"", "dvr_", "dvr__", "dvr_" + id, text[:len(text)-1], text + "a", "DVR" + text[3:], text[4:], "dvr_" + strings.Repeat("a", 60), "eyJ.eyJ.sig"} {
		if _, _, ok := ParseToken(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
	if n := allocations(func() { ParseToken(text) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

type provider struct {
	actor  string
	groups []string
	err    error
}

func (p provider) Verify(string) (string, []string, error) { return p.actor, p.groups, p.err }

// Verified knows what begins with seen.
func (p provider) Verified(jwt string) (string, []string, bool) {
	return p.actor, p.groups, strings.HasPrefix(jwt, "seen.")
}

func TestAuthenticate(t *testing.T) {
	text, id, hash := NewToken()
	join, joinID, joinHash := NewToken()
	fold := projector.NewFold("log")
	if err := fold.Apply(&eventlog.Commit{Revision: 1, ID: "c", Actor: "x", Time: 1000, Events: []eventlog.Event{
		&eventlog.TokenSet{ID: id, Actor: "alice", SHA256: hash, Expires: 9000}, &eventlog.TokenSet{ID: joinID, Actor: "root", SHA256: joinHash, Join: true},
		&eventlog.RoleSet{Actor: "group:ops", Grants: []eventlog.Grant{{Role: "viewer"}}},
	}}, eventlog.Hash{}); err != nil {
		t.Fatal(err)
	}
	s, now := fold.State(), int64(2000)
	a := &Authenticator{State: func() *projector.State { return s }, Now: func() time.Time { return time.UnixMilli(now) }}
	p, err := a.Authenticate(text)
	if err != nil || p.Actor != "alice" || p.Via[0] != "token:"+id {
		t.Fatalf("%+v, %v", p, err)
	}
	if tok, err := a.Join(join); err != nil || tok.ID != joinID {
		t.Fatal(err)
	}
	other, _, _ := NewToken()
	forged := "dvr_" + id + other[strings.LastIndexByte(other, '_'):]
	for what, f := range map[string]func() error{
		"another secret": func() error { _, err := a.Authenticate(forged); return err },
		"unknown":        func() error { _, err := a.Authenticate(other); return err },
		"join as API":    func() error { _, err := a.Authenticate(join); return err },
		"API as join":    func() error { _, err := a.Join(text); return err },
		"JWT, no OIDC":   func() error { _, err := a.Authenticate("eyJ.eyJ.sig"); return err },
		"expired":        func() error { now = 9000; defer func() { now = 2000 }(); _, err := a.Authenticate(text); return err },
		"a JWT refused": func() error {
			a.OIDC = provider{err: errors.New("expired")}
			_, err := a.Authenticate("eyJ.eyJ.sig")
			return err
		},
	} {
		err := f()
		if !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", what, err)
		} else if strings.Contains(err.Error(), forged) || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: the error tells the credential: %v", what, err)
		}
	}
	a.OIDC = provider{actor: "oidc:bob", groups: []string{"nobodies", "ops"}}
	if p, err := a.Authenticate("eyJ.eyJ.sig"); err != nil || p.Actor != "oidc:bob" || len(p.Via) != 1 || p.Via[0] != "group:ops" {
		t.Errorf("%+v, %v", p, err)
	}
	for what, credential := range map[string]string{"an unseen JWT": "eyJ.eyJ.sig", "another secret": forged, "a join token": join, "a certificate": CertificatePrefix + "eve"} {
		if p, err := a.Recognize(credential); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s is recognized: %+v, %v", what, p, err)
		}
	}
	for credential, actor := range map[string]string{text: "alice", "seen.eyJ.sig": "oidc:bob"} {
		if p, err := a.Recognize(credential); err != nil || p.Actor != actor {
			t.Errorf("%s is not recognized: %v", actor, err)
		}
	}
	if n := allocations(func() { _, _ = a.Authenticate(text) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// allocations of a call: the least of some counts, in which others of this
// process may share. One may be the state of SHA-256, as the profile decides by
// which the compiler optimises.
func allocations(f func()) float64 {
	n := testing.AllocsPerRun(100, f)
	for range 20 {
		n = min(n, testing.AllocsPerRun(100, f))
	}
	return n
}
