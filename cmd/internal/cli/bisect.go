package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func bisectCommand(c *connection) *cobra.Command {
	var probe string
	var verbose bool
	cmd := &cobra.Command{
		Use: "bisect --probe COMMAND FROM [TO]", Short: "Find the commit since which a command fails", Args: cobra.RangeArgs(1, 2),
		Long: "Find the commit since which a command fails: it succeeds at FROM and fails at TO (default: now), revisions or times.\n" +
			"A shell runs the command with DVR_AT set to the revision in question, which every dvr command that reads takes as its --at;\n" +
			"{at} in the command is replaced by the revision, too. Exit code 0 is good, others are bad; but 5, 125 to 127 and signals,\n" +
			"with which a command says that it could not tell, end the search.",
		Example: "  dvr bisect --probe 'dvr lookup 10.1.2.3 --router r1' 4000 4711\n" +
			"  dvr bisect --probe 'dvr lookup 10.1.2.3 --router r1 -o json | grep -q 192.0.2.1' 2026-11-21T22:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			good, err := c.revisionAt(ctx, args[0])
			if err != nil {
				return err
			}
			to := ""
			if len(args) > 1 {
				to = args[1]
			}
			bad, err := c.revisionAt(ctx, to)
			if err != nil {
				return err
			}
			if good >= bad {
				return usageError{fmt.Errorf("FROM is revision %d, TO is %d: the good one comes before the bad one", good, bad)}
			}
			b := bisection{connection: c, probe: probe, verbose: verbose}
			first, err := b.search(ctx, good, bad)
			if err != nil {
				return err
			}
			return c.culprit(ctx, first, b.probes)
		},
	}
	cmd.Flags().StringVar(&probe, "probe", "", "shell command that succeeds while all is well")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show what the command prints")
	_ = cmd.MarkFlagRequired("probe") // it was just declared
	return cmd
}

// bisection runs a probe at revisions.
type bisection struct {
	*connection
	probe   string
	verbose bool
	probes  int
	said    string // by the probe that ran last
}

var errInconclusive = errors.New("the probe cannot tell")

// search is the first bad revision behind good.
func (b *bisection) search(ctx context.Context, good, bad uint64) (uint64, error) {
	for _, end := range []struct {
		at   uint64
		want bool
		say  string
	}{{good, true, "the probe fails at revision %d already: begin earlier, or mend the probe; it said: %s"}, {bad, false, "the probe succeeds at revision %d still: there is nothing to find; it said: %s"}} {
		ok, err := b.run(ctx, end.at)
		if err != nil {
			return 0, err
		}
		if ok != end.want {
			return 0, fmt.Errorf(end.say, end.at, b.said)
		}
	}
	for bad-good > 1 {
		mid := good + (bad-good)/2
		ok, err := b.run(ctx, mid)
		if err != nil {
			return 0, err
		}
		if ok {
			good = mid
		} else {
			bad = mid
		}
	}
	return bad, nil
}

// run runs the probe at a revision; it says how on the error stream.
func (b *bisection) run(ctx context.Context, at uint64) (ok bool, err error) {
	b.probes++
	revision := strconv.FormatUint(at, 10)
	p := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(b.probe, "{at}", revision))
	p.Env = append(os.Environ(), "DVR_AT="+revision, "DVR_ENDPOINTS="+strings.Join(b.endpoints, ","))
	for name, file := range map[string]string{"CA": b.files.CA, "CERT": b.files.Cert, "KEY": b.files.Key, "CRL": b.files.CRL} {
		p.Env = append(p.Env, "DVR_"+name+"_FILE="+file)
	}
	if self, err := os.Executable(); err == nil { // this dvr is found where none is on the path
		p.Env = append(p.Env, "PATH="+os.Getenv("PATH")+string(os.PathListSeparator)+filepath.Dir(self))
	}
	var said bytes.Buffer
	p.Stdout, p.Stderr = &said, &said
	err = p.Run()
	b.said = short(cmp.Or(strings.Join(strings.Fields(said.String()), " "), "nothing"))
	var exit *exec.ExitError
	verdict := "good"
	switch code := p.ProcessState.ExitCode(); {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err == nil:
		ok = true
	case errors.As(err, &exit) && code != ExitUnavailable && (code < 125 || code > 127) && code > 0 && code < 128:
		verdict = fmt.Sprintf("bad (exit code %d)", code)
	default:
		return false, fmt.Errorf("%w at revision %d: %w: %s", errInconclusive, at, err, strings.TrimSpace(said.String()))
	}
	if b.output == "table" {
		fmt.Fprintf(b.errOut, "revision %d: %s\n", at, verdict)
	} else {
		b.notice("revision %d: %s", at, verdict)
	}
	if b.verbose {
		_, _ = b.errOut.Write(said.Bytes()) // to whom an error could be told it is written
	}
	return ok, nil
}

// culprit prints the commit that was found.
func (c *connection) culprit(ctx context.Context, first uint64, probes int) error {
	var body any
	answer, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: fmt.Sprintf("/v1/commits/%d", first)}, &body)
	if err != nil {
		return fmt.Errorf("revision %d is the first bad one: %w", first, err)
	}
	raw, err := json.Marshal(map[string]any{"first_bad": first, "probes": probes, "commit": json.RawMessage(bytes.TrimSpace(answer.Body))})
	if err != nil {
		return err
	}
	whole := map[string]any{"first_bad": json.Number(strconv.FormatUint(first, 10)), "probes": json.Number(strconv.Itoa(probes)), "commit": body}
	return c.print(raw, whole, func(t *table, _ any) {
		t.line("revision %d is the first bad one (%d probes)", first, probes)
		t.line("")
		commitDetail(t, body)
		t.line("")
		t.line("(what it changed: dvr diff %d %d)", first-1, first)
	})
}
