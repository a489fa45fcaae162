package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestProgressOnTerminalsOnly(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var drawn bytes.Buffer
		p := startProgress(&connection{errOut: &drawn, terminal: terminal, output: "table"}, 1000, true)
		p.took(make([]byte, 500))
		p.stop()
		if got := drawn.Len() > 0; got != terminal {
			t.Errorf("terminal %v: drew %q", terminal, drawn.String())
		}
	}
}

func TestProgressShowsHowMuchAndHowFast(t *testing.T) {
	begin := time.Unix(1000, 0)
	for _, test := range []struct {
		total int64
		plain bool
		after time.Duration
		want  string
	}{
		{8192, true, 2 * time.Second, "[===============" + strings.Repeat(" ", 15) + "]  50 %  1,024 lines, 512 a second, 2 s left"},
		{8192, true, time.Second / 2, "[===============" + strings.Repeat(" ", 15) + "]  50 %  1,024 lines, 2,048 a second"},
		{4096, true, 2 * time.Second, "[" + strings.Repeat("=", 30) + "] 100 %  1,024 lines, 512 a second"},
		{0, true, 2 * time.Second, "1,024 lines, 512 a second"},
		{0, false, 2 * time.Second, "0.0 MiB, 0.0 MiB a second"},
	} {
		var drawn bytes.Buffer
		p := &progress{w: &drawn, total: test.total, plain: test.plain, begin: begin, now: func() time.Time { return begin.Add(test.after) }}
		p.took([]byte(strings.Repeat("abc\n", 1024)))
		p.draw()
		if want := "\r" + test.want + "\033[K"; drawn.String() != want {
			t.Errorf("drew %q, want %q", drawn.String(), want)
		}
	}
}

func TestPaceOfLongImportsOnly(t *testing.T) {
	begin := time.Unix(1000, 0)
	for after, want := range map[time.Duration]string{time.Second / 2: "", 2500 * time.Millisecond: " in 2.5 s, 40,000 a second"} {
		p := &progress{begin: begin, now: func() time.Time { return begin.Add(after) }}
		if got := p.pace(100_000); got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
}

// An upload that is sent anew is counted anew; asking where it is changes nothing.
func TestCountsAnUploadThatIsSentAgain(t *testing.T) {
	p := &progress{plain: true}
	c := &counted{strings.NewReader("a\nb\nc\n"), p}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	if at, err := c.Seek(0, io.SeekCurrent); err != nil || at != 6 || p.lines.Load() != 3 {
		t.Errorf("at %d %v, %d lines", at, err, p.lines.Load())
	}
	if _, err := c.Seek(0, io.SeekStart); err != nil || p.sent.Load() != 0 || p.lines.Load() != 0 {
		t.Errorf("after a seek to the start: %v, %d bytes, %d lines", err, p.sent.Load(), p.lines.Load())
	}
	if _, err := (&counted{io.MultiReader(), p}).Seek(0, io.SeekCurrent); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe seeks: %v", err)
	}
}
