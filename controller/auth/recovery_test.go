package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/eventlog"
)

func TestRecovery(t *testing.T) {
	dir := t.TempDir()
	if events, err := ReadRecovery(dir); events != nil || err != nil {
		t.Fatalf("%v %v", events, err)
	}
	token, id, err := WriteRecovery(dir, "alice")
	if err != nil {
		t.Fatal(err)
	}
	_, hash, ok := ParseToken(token)
	events, err := ReadRecovery(dir)
	if err != nil || !ok || len(events) != 2 {
		t.Fatalf("%v %v", events, err)
	}
	set := events[0].(*eventlog.TokenSet)
	if set.ID != id || set.SHA256 != hash || set.Actor != "alice" || events[1].(*eventlog.RoleSet).Grants[0].Role != "admin" {
		t.Errorf("%+v", set)
	}
	if s, err := os.Stat(filepath.Join(dir, recoveryFile)); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", s, err)
	}
	if _, _, err := WriteRecovery(dir, "bob"); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "start the node on "+dir) {
		t.Errorf("written over, or not said what to do: %v", err)
	}
	if err := EndRecovery(dir); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", `{"actor":"a","id":"x","sha256":"00"}`, `{"actor":"system","id":"x","sha256":"` + hexOf(hash) + `"}`, `{"actor":"a","id":"X","sha256":"` + hexOf(hash) + `"}`} {
		if err := os.WriteFile(filepath.Join(dir, recoveryFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if events, err := ReadRecovery(dir); err == nil {
			t.Errorf("%q gives %v", bad, events)
		}
	}
}

func hexOf(h [32]byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 64)
	for _, b := range h {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}
