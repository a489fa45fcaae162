package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

var update = flag.Bool("update", false, "write the golden file anew")

// everything is a state with every kind of item that the projector has a sample of.
func everything(t testing.TB) *projector.State {
	t.Helper()
	raw, err := os.ReadFile("../../projector/testdata/snapshot-1.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	f, err := projector.Load(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return f.Current()
}

var (
	madeBy = Maker{Node: "node-1", Program: "1.2.3"}
	madeAt = time.UnixMilli(1_800_000_000_000)
)

func written(t testing.TB, s *projector.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s, madeBy, madeAt); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (*Backup, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func saved(t testing.TB, s *projector.State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadGivesWhatWasWritten(t *testing.T) {
	s := everything(t)
	file := written(t, s)
	b, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := saved(t, b.Fold.Current()), saved(t, s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	h := b.Header
	if h.Kind != "dvr backup" || h.Format != 1 || h.LogID != s.Position().LogID || h.Revision != 19 || h.Epoch != 1 || h.Digest != s.Digest().String() ||
		h.Hash != fmt.Sprintf("%x", s.Head().Hash) || h.Node != "node-1" || h.Program != "1.2.3" || h.Made != madeAt.UnixMilli() || h.Time != s.Time() || b.Bytes != int64(len(file)) {
		t.Errorf("%+v", b)
	}
	if line, _, _ := bytes.Cut(file[FrameBytes:], []byte("\n")); !json.Valid(line) {
		t.Errorf("the first line: %q", line)
	}
}

// The form is kept for ever: decision 20.
func TestFormatOneIsRead(t *testing.T) {
	const name = "testdata/format-1.backup"
	if *update {
		if err := os.WriteFile(name, written(t, everything(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := read(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := saved(t, b.Fold.Current()), saved(t, everything(t)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Other programs decompress the file to the lines of the state.
func TestZstdReadsIt(t *testing.T) {
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("no zstd here")
	}
	s := everything(t)
	cmd := exec.CommandContext(t.Context(), program, "-dc")
	cmd.Stdin = bytes.NewReader(written(t, s))
	out, err := cmd.Output()
	if err != nil || string(out) != saved(t, s) {
		t.Errorf("%v: %s", err, out)
	}
}

// No damage passes: any bit, any end, anything behind it.
func TestDamageIsSeen(t *testing.T) {
	whole := written(t, everything(t))
	head := FrameBytes + bytes.IndexByte(whole[FrameBytes:], '\n') + 1
	refused := func(b []byte, what string, at int) {
		t.Helper()
		_, err := read(b)
		switch {
		case err == nil:
			t.Errorf("%s at %d of %d is not seen", what, at, len(whole))
		case errors.Is(err, ErrDamaged):
		case errors.Is(err, ErrForeign) && at < head: // it does not even look like a backup
		default:
			t.Errorf("%s at %d of %d: %v", what, at, len(whole), err)
		}
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			refused(b, fmt.Sprintf("bit %d flipped", bit), i)
		}
		refused(whole[:i], "cut off", i)
	}
	for _, more := range []string{"\x00", "\n", string(whole), string(whole[len(whole)-trailerBytes:])} {
		refused(append(bytes.Clone(whole), more...), "more behind it", len(whole))
	}
	_, err := read(whole[:len(whole)-1])
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("cut off after %d bytes", len(whole)-1)) {
		t.Errorf("cut off: %v", err)
	}
}

// A file whose checksum is right is not believed either.
func TestWhatTheChecksumCovers(t *testing.T) {
	s := everything(t)
	lines := saved(t, s)
	forged := func(change func(*Header), content string) error {
		h := Describe(s)
		change(&h)
		var b bytes.Buffer
		if err := WriteSaved(&b, h, func(w io.Writer) error { _, err := io.WriteString(w, content); return err }); err != nil {
			t.Fatal(err)
		}
		_, err := read(b.Bytes())
		return err
	}
	same := func(*Header) {}
	if err := forged(same, lines); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change  func(*Header)
		content string
		want    error
		says    string
	}{
		"a newer format":           {func(h *Header) { h.Format = 2 }, lines, ErrNewer, "format 2"},
		"no format":                {func(h *Header) { h.Format = 0 }, lines, ErrDamaged, "format 0"},
		"a newer level":            {func(h *Header) { h.Level = eventlog.MaxLevel + 1 }, lines, ErrNewer, fmt.Sprintf("level %d", eventlog.MaxLevel+1)},
		"another kind":             {func(h *Header) { h.Kind = "dvr archive" }, lines, ErrForeign, ""},
		"another log":              {func(h *Header) { h.LogID = "x" }, lines, ErrDamaged, ""},
		"another revision":         {func(h *Header) { h.Revision++ }, lines, ErrDamaged, "says revision 20"},
		"another epoch":            {func(h *Header) { h.Epoch++ }, lines, ErrDamaged, ""},
		"another nonce":            {func(h *Header) { h.EpochNonce = "" }, lines, ErrDamaged, ""},
		"another hash":             {func(h *Header) { h.Hash = "" }, lines, ErrDamaged, ""},
		"another digest":           {func(h *Header) { h.Digest = "00" }, lines, ErrDamaged, "digest 00"},
		"another time":             {func(h *Header) { h.Time++ }, lines, ErrDamaged, ""},
		"no state":                 {same, "", ErrDamaged, ""},
		"a state without end":      {same, strings.TrimSuffix(lines, `{"end":true}`+"\n"), ErrDamaged, ""},
		"lines behind":             {same, lines + "{}\n", ErrDamaged, ""},
		"a changed metric":         {same, strings.Replace(lines, `"metric":100`, `"metric":101`, 1), ErrDamaged, "digest"},
		"a state of a newer level": {same, strings.Replace(lines, `"level":1`, `"level":99`, 1), ErrNewer, ""},
	} {
		err := forged(test.change, test.content)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoBackup(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("x", 4096), "\x28\xb5\x2f\xfd" + strings.Repeat("\x00", 100), "\x50\x2a\x4d\x18\xff\xff\xff\xff12345678"} {
		if _, err := read([]byte(text)); !errors.Is(err, ErrForeign) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	sum := sha256.Sum256(nil)
	if _, err := read(append(Frame(HeaderMagic, []byte("{")), trailer(sum[:])...)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a torn header: %v", err)
	}
}

// failing is a disk that cannot be read from an offset on.
type failing struct {
	*bytes.Reader
	from int64
}

var errDisk = errors.New("broken disk")

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.from {
		return 0, errDisk
	}
	return f.Reader.ReadAt(p, at)
}

func TestADiskThatFailsIsNoDamage(t *testing.T) {
	whole := written(t, everything(t))
	for _, from := range []int64{0, 10, 500, int64(len(whole)) - 1} {
		if _, err := Read(failing{bytes.NewReader(whole), from}, int64(len(whole))); !errors.Is(err, errDisk) || errors.Is(err, ErrDamaged) {
			t.Errorf("from %d: %v", from, err)
		}
	}
	for n := 0; n < len(whole); n += 37 {
		if err := Write(&full{room: n}, everything(t), madeBy, madeAt); !errors.Is(err, errDisk) {
			t.Fatalf("with room for %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// full is a disk with little room.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errDisk
	}
	f.room -= len(p)
	return len(p), nil
}

func TestStagedTimersAreRefused(t *testing.T) {
	s := everything(t)
	staged, _, err := eventlog.EncodeStage("stage-1", []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "v"}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Try(&eventlog.Commit{
		Revision: s.Position().Revision + 1, Epoch: s.Position().Epoch, Time: s.Time(), Actor: "a", ID: "i",
		Events: []eventlog.Event{&eventlog.TimerSet{Name: "big", At: s.Time() + 1000, Stage: staged}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(io.Discard, after, madeBy, madeAt); !errors.Is(err, ErrStaged) || !strings.Contains(err.Error(), "big") {
		t.Error(err)
	}
}

// FuzzRead: no file makes it panic or hang, and what it accepts is a state.
func FuzzRead(f *testing.F) {
	whole := written(f, everything(f))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		if err == nil && got.Fold.Current().Digest().String() != got.Header.Digest {
			t.Error("accepted, and the digest is another")
		}
	})
}
