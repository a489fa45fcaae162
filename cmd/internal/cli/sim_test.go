package cli

import (
	"bytes"
	"context"
	"errors"
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
