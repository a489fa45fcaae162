package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func logCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "The history: every commit, who made it, when and why", Args: cobra.NoArgs}
	cmd.AddCommand(logList(c), logShow(c), logFollow(c), logVerify(c), logRepair(c), logArchive(c), logExport(c))
	return cmd
}

// commitHead and commitRow are the columns of a commit.
func commitHead(t *table) { t.head("REVISION", "TIME", "ACTOR", "WHAT", "REASON", "ID") }

func commitRow(t *table, commit any) {
	t.row(member(commit, "revision"), member(commit, "time"), who(commit), summary(commit), member(commit, "reason"), member(commit, "id"))
}

// summary tells in a few words what a commit did: its one event, else how many of
// which kind.
func summary(commit any) string {
	events := list(commit, "events")
	switch n := count(member(commit, "n")); {
	case n == 0 && len(events) == 0:
		return "nothing changed"
	case len(events) == 0:
		return plural(member(commit, "n"), "event")
	}
	kinds := map[string]any{}
	for _, e := range events {
		kind := text(member(e, "kind"))
		n, _ := kinds[kind].(int)
		kinds[kind] = n + 1
	}
	if len(events) > 1 {
		var parts []string
		for _, kind := range sortedKeys(kinds) {
			parts = append(parts, grouped(kinds[kind])+" "+kind)
		}
		return strings.Join(parts, ", ")
	}
	event := events[0]
	if text(member(event, "kind")) == "commit.staged" { // it only stands for them
		return plural(member(event, "events"), "event")
	}
	return eventText(event)
}

// newestShown is how many commits `dvr log list` shows by itself.
const newestShown = 20

func logList(c *connection) *cobra.Command {
	var after uint64
	var last, limit uint16
	cmd := &cobra.Command{
		Use: "list", Short: "The newest commits, or those after a revision; in order, the newest last", Args: cobra.NoArgs,
		Example: "  dvr log list\n  dvr log list --last 100\n  dvr log list --after 0 --limit 1000",
		RunE: func(cmd *cobra.Command, args []string) error {
			newest := !cmd.Flags().Changed("after")
			size := limit
			if newest {
				if !cmd.Flags().Changed("limit") {
					size = last
				}
				var status struct{ Revision uint64 }
				if _, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status); err != nil {
					return err
				}
				after = status.Revision - min(status.Revision, uint64(size))
			}
			q := filters("after", strconv.FormatUint(after, 10), "limit", strconv.Itoa(int(size)))
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/commits", Query: q}, func(t *table, body any) {
				commitHead(t)
				for _, commit := range list(body, "commits") {
					commitRow(t, commit)
				}
				if newest && after > 0 {
					t.line("(the newest %d of %s; --last for more, --after 0 from the beginning)", size, text(member(body, "revision")))
				} else if next := member(body, "next"); !newest && next != nil {
					t.line("(more: --after %s)", text(next))
				}
			})
		},
	}
	f := cmd.Flags()
	numberVar(f, &last, "last", newestShown, 1, 1000, "the newest so many, up to 1,000")
	f.Uint64Var(&after, "after", 0, "begin after this revision instead")
	numberVar(f, &limit, "limit", 100, 1, 1000, "at most so many, up to 1,000")
	cmd.MarkFlagsMutuallyExclusive("last", "after")
	cmd.MarkFlagsMutuallyExclusive("last", "limit")
	return cmd
}

// eventsShown is how many events of a commit `dvr log show` shows by itself.
const eventsShown = 1000

func logShow(c *connection) *cobra.Command {
	var limit uint16
	var cursor uint64
	var all bool
	cmd := &cobra.Command{
		Use: "show REVISION", Short: "One commit with its events", Args: cobra.ExactArgs(1),
		Long: "One commit with its events, of which an atomic import may have a million: they are shown in pages.\n" +
			"--all writes every event as the log has it, one JSON object a line, and nothing else.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
				return usageError{fmt.Errorf("revision %q is not a number", args[0])}
			}
			call := client.Call{Method: http.MethodGet, Path: "/v1/commits/" + args[0]}
			if all {
				call.Header = http.Header{"Accept": {"application/x-ndjson"}}
				cl, err := c.open()
				if err != nil {
					return err
				}
				body, _, err := cl.Stream(cmd.Context(), call)
				if err != nil {
					return c.advise(err)
				}
				defer body.Close()
				return spill(c.out, body, "")
			}
			call.Query = filters("limit", strconv.Itoa(int(limit)))
			if cursor > 0 {
				call.Query.Set("cursor", strconv.FormatUint(cursor, 10))
			}
			return c.show(cmd.Context(), call, commitDetail)
		},
	}
	f := cmd.Flags()
	numberVar(f, &limit, "limit", eventsShown, 1, 10_000, "at most so many events, up to 10,000")
	f.Uint64Var(&cursor, "cursor", 0, "leave out so many events, as the page before says")
	f.BoolVar(&all, "all", false, "write every event as a line of JSON")
	cmd.MarkFlagsMutuallyExclusive("all", "limit")
	cmd.MarkFlagsMutuallyExclusive("all", "cursor")
	return cmd
}

// commitDetail prints a commit, its events as they are stored.
func commitDetail(t *table, commit any) {
	for _, k := range []string{"revision", "time", "actor", "source", "for", "reason", "forced", "reverts", "id", "request"} {
		if v := member(commit, k); v != nil {
			t.row(k, v)
		}
	}
	events := list(commit, "events")
	switch {
	case len(events) > 0:
	case count(member(commit, "n")) == 0:
		t.row("events", "none")
	default:
		t.row("events", "no more")
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
	if next := member(commit, "next"); next != nil {
		t.line("(%s of %s; the next: --cursor %s; every one as a line: --all)", grouped(len(events)), plural(member(commit, "n"), "event"), text(next))
	}
}

// logFollow is woken by the watch of commits, which resumes and fails over, and
// then asks for what is new: unlike the watch's messages it has the whole commits.
func logFollow(c *connection) *cobra.Command {
	var after int64
	cmd := &cobra.Command{
		Use: "follow", Short: "Print commits as they are made (Ctrl-C ends)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			cl, err := c.open()
			if err != nil {
				return err
			}
			if after < 0 {
				var status struct{ Revision int64 }
				if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status); err != nil {
					return err
				}
				after = status.Revision
			} else if err := c.newCommits(ctx, &after, 0); err != nil {
				return quietly(ctx, err)
			}
			call := client.Call{Method: http.MethodGet, Path: "/v1/watch", Query: filters("kinds", "commits", "after", strconv.FormatInt(after, 10))}
			err = cl.Events(ctx, call, c.timeout, func(e client.Event) error {
				body, err := decode(e.Data)
				if err != nil {
					return err
				}
				if r := count(member(body, "revision")); r > after {
					return c.newCommits(ctx, &after, r)
				}
				return nil // it came with those before it
			})
			return quietly(ctx, c.advise(err))
		},
	}
	cmd.Flags().Int64Var(&after, "after", -1, "begin after this revision (default: now)")
	return cmd
}

// quietly is no error where somebody ended the command.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// followPage is how many commits are asked for at a time.
const followPage = 1000

// newCommits prints all commits after a revision that there are, those up to until
// at least, and moves after.
func (c *connection) newCommits(ctx context.Context, after *int64, until int64) error {
	for {
		var page struct{ Commits []json.RawMessage }
		q := filters("after", strconv.FormatInt(*after, 10), "limit", strconv.Itoa(followPage))
		if until > 0 { // another node may answer than the one that told of it
			q.Set("min_revision", strconv.FormatInt(until, 10))
		}
		if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/commits", Query: q}, &page); err != nil {
			return err
		}
		if err := c.commits(page.Commits, after); err != nil {
			return err
		}
		if len(page.Commits) < followPage {
			return nil
		}
	}
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
	if err := t.flush(); err != nil {
		return err
	}
	_, err := c.out.Write(whole.Bytes())
	return err
}
