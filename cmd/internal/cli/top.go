package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dvr/cmd/internal/client"
)

// Times of dvr top.
const (
	frameTime  = 500 * time.Millisecond
	statusTime = 2 * time.Second
)

func topCommand(c *connection) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "top", Short: "Nodes, data planes and commits, live (Ctrl-C ends)", Args: cobra.NoArgs,
		Long: "Show whether all is well, the nodes, the data planes and the newest commits as they come, in what the\n" +
			"terminal has room for. Where the output is no terminal, or with --once, one overview is printed.",
		Example: "  dvr top\n  dvr top --once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.output != "table" {
				return usageError{fmt.Errorf("--output %s: dvr top draws; dvr status and dvr watch give %s", c.output, c.output)}
			}
			cl, err := c.open()
			if err != nil {
				return err
			}
			t := &topping{connection: c, client: cl, view: newOverall(), out: c.out}
			if f, ok := c.out.(*os.File); ok && !once && term.IsTerminal(int(f.Fd())) {
				t.screen = f
			}
			return t.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one overview and end")
	return cmd
}

// topping is a dvr top under way. One goroutine owns the view; others send to it.
type topping struct {
	*connection
	client *client.Client
	view   *overall
	out    io.Writer
	screen *os.File // nil: no terminal
}

// Columns and lines of what is no terminal.
const (
	plainWidth  = 120
	plainHeight = 60
)

func (t *topping) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := t.status(ctx); err != nil {
		return t.advise(err)
	}
	t.view.start, t.view.begun = time.Now(), t.view.status.Revision
	events, failed := make(chan client.Event), make(chan error, 1)
	t.client.Follows = func(open bool) {
		kind := broken
		if open {
			kind = opened
		}
		select {
		case events <- client.Event{Kind: kind}:
		case <-ctx.Done():
		}
	}
	go func() {
		call := client.Call{Method: http.MethodGet, Path: "/v1/watch", Query: filters("kinds", "commits,dataplanes,nodes", "after", fmt.Sprint(t.behind()))}
		failed <- t.client.Events(ctx, call, t.timeout, func(e client.Event) error {
			e.Data = append([]byte(nil), e.Data...)
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	if t.screen != nil {
		fmt.Fprint(t.out, "\x1b[?1049h\x1b[?25l") // the other screen, no cursor
		defer fmt.Fprint(t.out, "\x1b[?25h\x1b[?1049l")
	}
	draw, ask := time.NewTicker(frameTime), time.NewTicker(statusTime)
	defer draw.Stop()
	defer ask.Stop()
	for {
		select {
		case e := <-events:
			if err := t.view.tell(e, time.Now()); err != nil {
				return err
			}
		case <-ask.C:
			short, done := context.WithTimeout(ctx, statusTime)
			_ = t.status(short) // what was is shown; the stream says when nobody answers
			done()
		case <-draw.C:
			if t.screen == nil && len(t.view.unsaid) > 0 && time.Since(t.view.start) < statusTime {
				continue // one overview, of all
			}
			if err := t.draw(); err != nil || t.screen == nil {
				return err
			}
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return t.advise(err)
		case <-ctx.Done():
			return nil
		}
	}
}

// behind is where the stream begins: some commits ago, so that there is
// something to see.
func (t *topping) behind() uint64 {
	const ago = 50
	if r := t.view.status.Revision; r > ago {
		return r - ago
	}
	return 0
}

func (t *topping) status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var now statusTold
	if _, err := t.client.Do(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status"}, &now); err != nil {
		return err
	}
	t.view.status = now
	var body any
	if _, err := t.client.Do(ctx, client.Call{Method: http.MethodGet, Path: freezesPath}, &body); err == nil { // else what was is shown
		t.view.frozen = nil
		for _, f := range inForce(body, time.Now()) {
			t.view.frozen = append(t.view.frozen, text(member(f, "name")))
		}
	}
	return nil
}

// draw puts a frame over the last one, line by line, so that nothing flickers.
func (t *topping) draw() error {
	width, height := plainWidth, plainHeight
	if t.screen == nil {
		_, err := fmt.Fprintln(t.out, strings.Join(t.view.frame(width, height, time.Now()), "\n"))
		return err
	}
	if w, h, err := term.GetSize(int(t.screen.Fd())); err == nil && w > 0 && h > 0 {
		width, height = w, h
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	lines := t.view.frame(width, height, time.Now())
	for i, line := range lines {
		b.WriteString(line + "\x1b[K")
		if i < len(lines)-1 {
			b.WriteString("\r\n")
		}
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(t.out, b.String())
	return err
}
