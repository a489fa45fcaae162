package projector

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

// everything is the snapshot of the scenario that has every kind of item.
func everything(tb testing.TB) []byte {
	tb.Helper()
	script, err := os.ReadFile("testdata/scenario-level-1.txt")
	if err != nil {
		tb.Fatal(err)
	}
	f := NewFold("log")
	for line := range strings.Lines(string(script)) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "event ")
		if !ok {
			continue
		}
		e, err := eventlog.DecodeEvent([]byte(text))
		if err != nil {
			tb.Fatal(err)
		}
		r := f.pos.Revision + 1
		mustApply(tb, f, &eventlog.Commit{Revision: r, Time: 1_800_000_000_000 + 10*int64(r), Actor: "a", ID: text[:20], Request: eventlog.RequestHash{byte(r) & 1}, Events: []eventlog.Event{e}})
	}
	r := announcing("10.1.0.0/16", "192.168.1.2")
	old := announcing("10.3.0.0/16", "192.168.1.2")
	mustApply(tb, f, &eventlog.Commit{Revision: f.pos.Revision + 1, Time: f.time, Actor: "a", ID: "several", Events: []eventlog.Event{
		r, old, &eventlog.ConfirmationOpened{Deadline: f.time + 1000},
	}})
	return saved(tb, f.State())
}

// The form is a contract: decision 6.
func TestSnapshotForm(t *testing.T) {
	const file = "testdata/snapshot-1.ndjson"
	got := everything(t)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatal(diff)
	}
}

func TestLoadReadsAnyBlocks(t *testing.T) {
	b := everything(t)
	for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
		f, err := Load(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved(t, f.State()), b) {
			t.Fatal("the copy differs")
		}
	}
	broken := errors.New("broken disk")
	if _, err := Load(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, eventlog.ErrCorrupt) {
		t.Fatalf("a reader's own error became %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	b := string(everything(t))
	lines := strings.SplitAfter(b, "\n")
	replace := func(old, new string) string {
		if !strings.Contains(b, old) {
			t.Fatalf("the snapshot has no %q", old)
		}
		return strings.Replace(b, old, new, 1)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":             {"", eventlog.ErrCorrupt},
		"not JSON":            {"hello\n", eventlog.ErrCorrupt},
		"newer format":        {replace(`"format":1`, `"format":2`), eventlog.ErrLevel},
		"newer format, more":  {replace(`"format":1`, `"format":2,"new":1`), eventlog.ErrLevel},
		"newer level":         {replace(`"level":1`, `"level":2`), eventlog.ErrLevel},
		"format 0":            {replace(`"format":1`, `"format":0`), eventlog.ErrCorrupt},
		"unknown member":      {replace(`"format":1`, `"format":1,"new":1`), eventlog.ErrCorrupt},
		"negative count":      {replace(`"window":19`, `"window":-1`), eventlog.ErrCorrupt},
		"huge count":          {replace(`"window":19`, `"window":1000000000`), eventlog.ErrCorrupt},
		"window elsewhere":    {replace(`"window_first":1,`, `"window_first":18446744073709551000,`), eventlog.ErrCorrupt},
		"short hash":          {replace(`"hash":"13`, `"hash":"`), eventlog.ErrCorrupt},
		"another metric":      {replace(`"metric":100`, `"metric":101`), eventlog.ErrCorrupt},
		"another revision":    {replace(`,19,[3,19]]`, `,19,[4,19]]`), eventlog.ErrCorrupt},
		"another value":       {replace(`hello`, `hallo`), eventlog.ErrCorrupt},
		"another request":     {replace(`"AQAAAAAAAAAAAAAAAAAAAA"`, `"AgAAAAAAAAAAAAAAAAAAAA"`), eventlog.ErrCorrupt},
		"host bits":           {replace(`"10.1.0.0/16"`, `"10.1.0.1/16"`), eventlog.ErrCorrupt},
		"leading zero":        {replace(`"10.1.0.0/16"`, `"10.01.0.0/16"`), eventlog.ErrCorrupt},
		"length 33":           {replace(`"10.1.0.0/16"`, `"10.1.0.0/33"`), eventlog.ErrCorrupt},
		"no set of that":      {replace(`["10.2.0.0/16",1,`, `["10.2.0.0/16",99,`), eventlog.ErrCorrupt},
		"out of order":        {replace(`"10.1.0.0/16"`, `"10.9.0.0/16"`), eventlog.ErrCorrupt},
		"repeated":            {replace(`"10.2.0.0/16"`, `"10.1.0.0/16"`), eventlog.ErrCorrupt},
		"an item's no setter": {replace(`{"kind":"key.put","key":"motd","value":"hello"}`, `{"kind":"key.deleted","key":"motd"}`), eventlog.ErrCorrupt},
		"routes":              {replace(`"routes":8`, `"routes":9`), eventlog.ErrCorrupt},
		"spaces in header":    {replace(`"format":1,`, `"format": 1,`), eventlog.ErrCorrupt},
		"header member twice": {replace(`"format":1,`, `"format":1,"format":1,`), eventlog.ErrCorrupt},
		"upper case":          {replace(`"format":1,`, `"FORMAT":1,`), eventlog.ErrCorrupt},
		"another nonce":       {replace(`"nonce":"0001`, `"nonce":"0002`), eventlog.ErrCorrupt},
		"another epoch":       {replace(`"epoch":1,"revision"`, `"epoch":2,"revision"`), eventlog.ErrCorrupt},
		"another epoch table": {replace(`"epochs":[[1,1]]`, `"epochs":[[1,99]]`), eventlog.ErrCorrupt},
		"no window":           {replace(`"window":19,"window_first":1,`, `"window":0,"window_first":0,`), eventlog.ErrCorrupt},
		"items out of order":  {swapped(t, lines, `"kind":"router.set"`), eventlog.ErrCorrupt},
		"item not canonical":  {replace(`{"kind":"key.put","key":"motd","value":"hello"}`, `{"kind":"key.put","value":"hello","key":"motd"}`), eventlog.ErrCorrupt},
		"minus zero":          {replace(`,0]`+"\n"+snapshotEnd, `,-0]`+"\n"+snapshotEnd), eventlog.ErrCorrupt},
		"without end":         {strings.TrimSuffix(b, snapshotEnd), eventlog.ErrCorrupt},
		"with more":           {b + "x", eventlog.ErrCorrupt},
		"twice":               {b + b, eventlog.ErrCorrupt},
		"line too long":       {lines[0] + strings.Repeat("x", maxSnapshotLine+1), eventlog.ErrCorrupt},
		"a line less":         {strings.Join(append(lines[:3:3], lines[4:]...), ""), eventlog.ErrCorrupt},
	} {
		if _, err := Load(strings.NewReader(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for i := range b {
		if _, err := Load(strings.NewReader(b[:i])); !errors.Is(err, eventlog.ErrCorrupt) {
			t.Fatalf("cut after %d bytes: %v", i, err)
		}
	}
}

// swapped is the lines with the first one that holds text behind the next.
func swapped(t *testing.T, lines []string, text string) string {
	t.Helper()
	c := slices.Clone(lines)
	for i := range c {
		if strings.Contains(c[i], text) {
			c[i], c[i+1] = c[i+1], c[i]
			return strings.Join(c, "")
		}
	}
	t.Fatalf("the snapshot has no %q", text)
	return ""
}

func TestSaveReportsTheWriter(t *testing.T) {
	f, err := Load(bytes.NewReader(everything(t)))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("full")
	if err := f.State().Save(failing{broken}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever Load accepts, Save writes again, byte for byte.
func FuzzLoad(f *testing.F) {
	b := everything(f)
	f.Add(b)
	for i := 0; i < len(b); i += 97 {
		c := bytes.Clone(b)
		c[i] ^= 1
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fold, err := Load(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrLevel) {
				t.Fatal(err)
			}
			return
		}
		s := fold.State()
		if diff := cmp.Diff(string(b), string(saved(t, s))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Load neither panics nor accepts what Save cannot write again, whatever
// happened to a snapshot's bytes; a quick stand-in for the fuzzer.
func TestLoadSurvivesDamage(t *testing.T) {
	b := everything(t)
	rng := rand.New(rand.NewPCG(1, 1))
	refused := 0
	for range 4000 {
		c := bytes.Clone(b)
		for range 1 + rng.IntN(3) {
			c[rng.IntN(len(c))] = "0123456789,[]\"x.:/{}\n-"[rng.IntN(22)]
		}
		f, err := Load(bytes.NewReader(c))
		if err != nil {
			refused++
			continue
		}
		if diff := cmp.Diff(string(c), string(saved(t, f.State()))); diff != "" {
			t.Fatal(diff)
		}
	}
	if refused < 3500 {
		t.Fatalf("only %d of 4000 are refused", refused)
	}
}
