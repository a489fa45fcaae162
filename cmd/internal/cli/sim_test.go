package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cutOff is a context that is cancelled once it was looked at so often.
type cutOff struct {
	context.Context
	left int
}

func (c *cutOff) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestASimulationThatIsInterruptedFails: who waits for --verify must not take the
// report of a part for the whole.
func TestASimulationThatIsInterruptedFails(t *testing.T) {
	for _, args := range []string{"sim ring:6 --events 1000000 --verify", "sim ring:6 --events 1000000 --json"} {
		var out bytes.Buffer
		root := Root(Streams{Out: &out, Err: &out})
		root.SetArgs(strings.Fields(args))
		if err := root.ExecuteContext(&cutOff{t.Context(), 9}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", args, err)
		}
		if text := out.String(); !strings.Contains(text, "interrupted after ") && !strings.Contains(text, `"Interrupted": true`) {
			t.Errorf("%s:\n%s", args, text)
		}
	}
}

// TestASimulationTakesTheOutputFlag as every other command does.
func TestASimulationTakesTheOutputFlag(t *testing.T) {
	for args, want := range map[string]string{
		"-o json": `"Links": 6`, "--json": `"Links": 6`, "-o yaml": "Links: 6", "-o table": "6 routers, 6 links, 6 prefixes in ",
	} {
		out, err := runLocal(t, strings.Fields("sim ring:6 --prefixes 1 --events 1 "+args)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	if _, err := runLocal(t, "sim", "ring:6", "-o", "xml"); ExitCode(err) != ExitUsage {
		t.Errorf("%v", err)
	}
}

// TestAFilesOwnPrefixesAreAll: none is made up beside them unasked.
func TestAFilesOwnPrefixesAreAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "network")
	if err := os.WriteFile(file, []byte("link a b\nprefix 10.0.0.0/8 router a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"": "2 routers, 1 link, 1 prefix in 1 class; 2 vectors followed, 2 FIBs\n", " --prefixes 3": "2 routers, 1 link, 7 prefixes in ",
	} {
		out, err := runLocal(t, strings.Fields("sim "+file+" --events 1"+args)...)
		if err != nil || !strings.HasPrefix(out, want) || !strings.Contains(out, "\n1 event:\n") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}
