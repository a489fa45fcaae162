package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func logCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "The history: every commit, who made it, when and why", Args: cobra.NoArgs}
	cmd.AddCommand(logList(c), logShow(c), logFollow(c), logVerify(c), logRepair(c))
	return cmd
}

func commitRow(t *table, commit any) {
	t.row(member(commit, "revision"), member(commit, "time"), member(commit, "actor"), member(commit, "n"), member(commit, "reason"), member(commit, "id"))
}

func logList(c *connection) *cobra.Command {
	var after uint64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "Commits in order, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			newest := !cmd.Flags().Changed("after")
			if newest {
				var status struct{ Revision uint64 }
				if _, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status); err != nil {
					return err
				}
				after = status.Revision - min(status.Revision, uint64(max(limit, 0)))
			}
			q := filters("after", strconv.FormatUint(after, 10), "limit", strconv.Itoa(limit))
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/commits", Query: q}, func(t *table, body any) {
				t.head("REVISION", "TIME", "ACTOR", "EVENTS", "REASON", "ID")
				for _, commit := range list(body, "commits") {
					commitRow(t, commit)
				}
				if newest && after > 0 {
					t.row(fmt.Sprintf("(the newest %d; --limit for more, --after 0 from the beginning)", limit))
				} else if next := member(body, "next"); !newest && next != nil {
					t.row(fmt.Sprintf("(more: --after %s)", text(next)))
				}
			})
		},
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "begin after this revision (default: the newest ones)")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1,000")
	return cmd
}

func logShow(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show REVISION", Short: "One commit with its events", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
				return usageError{fmt.Errorf("revision %q is not a number", args[0])}
			}
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/commits/" + args[0]}, commitDetail)
		},
	}
}

// commitDetail prints a commit, its events as they are stored.
func commitDetail(t *table, commit any) {
	for _, k := range []string{"revision", "time", "actor", "source", "for", "reason", "forced", "reverts", "id", "request"} {
		if v := member(commit, k); v != nil {
			t.row(k, v)
		}
	}
	events := list(commit, "events")
	if len(events) == 0 {
		t.row("events", "none")
	}
	for _, e := range events {
		m, _ := e.(map[string]any)
		rest := make([]string, 0, len(m))
		for _, k := range sortedKeys(m) {
			if k != "kind" {
				rest = append(rest, k+"="+text(m[k]))
			}
		}
		t.row("event", text(m["kind"])+" "+strings.Join(rest, " "))
	}
}

// logFollow asks for what is new twice a second: the API has no stream of
// commits yet. A quiet log costs one small call each time.
func logFollow(c *connection) *cobra.Command {
	var after int64
	cmd := &cobra.Command{
		Use: "follow", Short: "Print commits as they are made (Ctrl-C ends)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if after < 0 {
				var status struct{ Revision int64 }
				if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status); err != nil {
					return err
				}
				after = status.Revision
			}
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				var page struct{ Commits []json.RawMessage }
				q := filters("after", strconv.FormatInt(after, 10), "limit", "1000")
				if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/commits", Query: q}, &page); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return err
				}
				if err := c.commits(page.Commits, &after); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		},
	}
	cmd.Flags().Int64Var(&after, "after", -1, "begin after this revision (default: now)")
	return cmd
}

// commits prints a page of commits and moves after to its last revision.
func (c *connection) commits(page []json.RawMessage, after *int64) error {
	if len(page) == 0 {
		return nil
	}
	var whole bytes.Buffer // lines appear at once
	t := newTable(&whole)
	for _, raw := range page {
		commit, err := decode(raw)
		if err != nil {
			return err
		}
		if r := count(member(commit, "revision")); r > 0 {
			*after = r
		}
		if c.output == "table" {
			commitRow(t, commit)
			continue
		}
		if err := c.print(raw, commit, nil); err != nil {
			return err
		}
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	_, err := c.out.Write(whole.Bytes())
	return err
}
