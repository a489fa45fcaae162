package launcher

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, _, err := tail(path, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, test := range []struct {
		content string
		lines   int
		want    string
	}{
		{"", 3, ""}, {"a\n", 0, ""}, {"a\n", 1, "a\n"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc\n", 3, "a\nb\nc\n"}, {"a\nb\nc\n", 9, "a\nb\nc\n"},
		{"a\nb", 1, "b"}, {"a\nb", 2, "a\nb"}, {"a\n\n\n", 2, "\n\n"}, {"\n", 1, "\n"},
		{strings.Repeat("x", maxTail+9), 1, strings.Repeat("x", maxTail)}, // one endless line
	} {
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, end, err := tail(path, test.lines)
		if err != nil || string(got) != test.want || end != int64(len(test.content)) {
			t.Errorf("%d lines of %.20q: %.20q, end %d, %v", test.lines, test.content, got, end, err)
		}
	}
}

func TestRotation(t *testing.T) {
	const limit = 100
	path := filepath.Join(t.TempDir(), "log")
	if err := rotateFile(path, limit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// The process holds its descriptor all the time, as a node does.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	say := func(s string) {
		t.Helper()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, now, old string) {
		t.Helper()
		if err := rotateFile(path, limit); err != nil {
			t.Fatal(err)
		}
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(path + ".1")
		if string(a) != now || string(b) != old {
			t.Errorf("%s: %q and %q, want %q and %q", what, a, b, now, old)
		}
	}
	full := strings.Repeat("a", limit)
	say(full)
	check("full", full, "")
	var followed bytes.Buffer
	at, err := more(&followed, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	say("b")
	check("over", "", full+"b")
	say("c")
	check("on it goes", "c", full+"b")
	if at, err = more(&followed, path, at); err != nil || at != 1 || followed.String() != full+"c" { // b was gone before it was asked for
		t.Errorf("followed over the rotation: %q at %d, %v", followed.String(), at, err)
	}
	say(strings.Repeat("d", 5*limit))
	check("the launcher was away", "", strings.Repeat("d", 2*limit))
	if left, _ := filepath.Glob(path + ".1.*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
