package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/archive"
	"dvr/eventlog"
)

func logArchive(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive DIR", Short: "Keep the history in files, from a running node; a second run goes on where the first ended", Args: cobra.ExactArgs(1),
		Long: "Write the commits that DIR does not hold yet, and states in between, from a running node: as far back as its\n" +
			"log and its own archive go, and what gaps in DIR lack. Each file is checked before it takes its place, against\n" +
			"the hash chain of those before it, too; files never change. They hold the values of keys and are readable to\n" +
			"their owner only.\n\n" +
			"A node that is started with ARCHIVE_DIR=DIR answers from it what its log no longer holds.\n" +
			"`dvr log verify --archive DIR` reads everything again. Exit code 1 where DIR is of another log, where the log has\n" +
			"left the history in DIR (by `dvr cluster recover` or a restore: archive into another directory), and where\n" +
			"revisions are missing that the cluster does not have either; these are named, the rest is archived.",
		Example: "  dvr log archive /var/backups/dvr/history\n  dvr log archive ./history && dvr log verify --archive ./history",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			return c.archive(cmd.Context(), args[0])
		},
	}
	return cmd
}

// archiving is one run of `dvr log archive`.
type archiving struct {
	client  *client.Client
	dir     *archive.Directory
	session *archive.Session
	logID   string

	newest eventlog.Revision

	after    archive.Report
	files    int
	commits  int64
	bytes    int64 // of files
	unstated int64 // bytes of history, before compression, since the last state
}

// stateEvery is how much history may go without a state, before compression: what
// is folded in some tenths of a second.
const stateEvery = 16 << 20

func (c *connection) archive(ctx context.Context, path string) error {
	cl, err := c.open()
	if err != nil {
		return err
	}
	var status struct {
		Position struct {
			LogID string `json:"log_id"`
		}
		Revision eventlog.Revision
	}
	if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status", Query: url.Values{"consistency": {"linearizable"}}}, &status); err != nil {
		return err
	}
	a := archiving{client: cl, dir: archive.NewDirectory(path), logID: status.Position.LogID, newest: status.Revision}
	if a.session, err = a.dir.Begin(a.logID); err != nil {
		return err
	}
	err = a.run(ctx)
	if err = errors.Join(c.advise(err), a.session.End()); err != nil {
		return err
	}
	if err := c.archived(path, &a); err != nil {
		return err
	}
	return a.after.Sound()
}

// run fetches what lacks.
func (a *archiving) run(ctx context.Context) error {
	before, err := a.dir.Survey()
	if err != nil {
		return err
	}
	for i, gap := range before.Gaps() {
		err := a.fetch(ctx, archive.Tip{Revision: gap[0] - 1, Hash: before.Spans[i].Hash}, gap[1])
		if _, ok := gone(err); ok {
			continue // the cluster does not have them either: the report names the gap
		}
		if err != nil {
			return err
		}
	}
	a.unstated += before.Unstated
	tip := archive.Tip{Hash: strings.Repeat("0", 64)}
	if s := before.Newest(); s != nil {
		tip = archive.Tip{Revision: s.Last, Hash: s.Hash}
	}
	if tip.Revision > a.newest {
		return fmt.Errorf("%w: it ends with revision %d, the log with %d", archive.ErrLeft, tip.Revision, a.newest)
	}
	err = a.fetch(ctx, tip, a.newest)
	if oldest, ok := gone(err); ok && oldest > tip.Revision {
		// The history begins later, with the state there.
		if err = a.state(ctx, oldest); err == nil {
			err = a.fetch(ctx, archive.Tip{Revision: oldest}, a.newest)
		}
	}
	if err != nil {
		return err
	}
	a.after, err = a.dir.Survey()
	return err
}

// gone says whether an error is that of what the node no longer has, and the oldest
// revision that it can rebuild.
func gone(err error) (oldest eventlog.Revision, ok bool) {
	p := (*client.Problem)(nil)
	if !errors.As(err, &p) || p.Status != http.StatusGone {
		return 0, false
	}
	var body struct {
		Oldest eventlog.Revision `json:"oldest_revision"`
	}
	_ = json.Unmarshal(p.Body, &body)
	return body.Oldest, true
}

// fetch stores the history after a tip up to a revision.
func (a *archiving) fetch(ctx context.Context, tip archive.Tip, to eventlog.Revision) error {
	for tip.Revision < to {
		_, x, err := a.stored(ctx, "/v1/archive", url.Values{"after": {fmt.Sprint(tip.Revision)}, "to": {fmt.Sprint(to)}}, func(write func(io.Writer) error) (archive.Header, archive.Index, error) {
			return a.session.History(a.logID, tip, write)
		})
		if err != nil {
			return fmt.Errorf("the commits after revision %d: %w", tip.Revision, err)
		}
		a.commits += int64(x.Commits)
		a.unstated += x.Bytes
		tip = archive.Tip{Revision: x.Last, Hash: x.Hash}
		if a.unstated >= stateEvery {
			if err := a.state(ctx, tip.Revision); err != nil {
				return err
			}
		}
	}
	return nil
}

// state stores the state at a revision.
func (a *archiving) state(ctx context.Context, r eventlog.Revision) error {
	_, _, err := a.stored(ctx, "/v1/backup", url.Values{"at": {fmt.Sprint(r)}}, func(write func(io.Writer) error) (archive.Header, archive.Index, error) {
		return archive.Header{}, archive.Index{}, a.session.State(a.logID, r, write)
	})
	if err != nil {
		return fmt.Errorf("the state at revision %d: %w", r, err)
	}
	a.unstated = 0
	return nil
}

// stored has the answer to a call stored.
func (a *archiving) stored(ctx context.Context, path string, query url.Values, store func(write func(io.Writer) error) (archive.Header, archive.Index, error)) (archive.Header, archive.Index, error) {
	query.Set("min_revision", fmt.Sprint(a.newest))
	body, _, err := a.client.Stream(ctx, client.Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return archive.Header{}, archive.Index{}, err
	}
	defer body.Close()
	h, x, err := store(func(w io.Writer) error {
		n, err := io.Copy(w, body)
		a.bytes += n
		if err != nil {
			return fmt.Errorf("%w: the answer ended early: %w", client.ErrUnreachable, err)
		}
		return nil
	})
	if err == nil {
		a.files++
	}
	return h, x, err
}

// spansBody is what both commands tell of an archive.
func spansBody(path string, r *archive.Report) map[string]any {
	gaps := []map[string]any{}
	for _, g := range r.Gaps() {
		gaps = append(gaps, map[string]any{"first": g[0], "last": g[1]})
	}
	return map[string]any{
		"archive": path, "log_id": r.LogID, "spans": r.Spans, "gaps": gaps, "left": r.Left, "defects": r.Defects,
		"files": r.Histories + r.States, "states": r.States, "bytes": r.Bytes,
	}
}

// archived prints what a run did and what the archive holds.
func (c *connection) archived(path string, a *archiving) error {
	body := spansBody(path, &a.after)
	body["written"] = map[string]any{"files": a.files, "commits": a.commits, "bytes": a.bytes}
	return c.archiveShown(body, &a.after, func(t *table, v any) {
		switch written := member(v, "written"); {
		case count(member(written, "files")) == 0:
			t.line("%s holds everything already.", path)
		default:
			t.line("%s written: %s, %s bytes.", plural(member(written, "files"), "file"), plural(member(written, "commits"), "commit"), grouped(member(written, "bytes")))
		}
	})
}

func (c *connection) archiveShown(content map[string]any, r *archive.Report, first func(t *table, v any)) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, func(t *table, v any) {
		first(t, v)
		t.section("ARCHIVE")
		t.entry("log", orDash(text(member(v, "log_id"))))
		for _, s := range r.Spans {
			t.entry("revisions", fmt.Sprintf("%d to %d (%s to %s)", s.First, s.Last, time.UnixMilli(s.Begin).UTC().Format(time.RFC3339), time.UnixMilli(s.End).UTC().Format(time.RFC3339)))
			t.entry("log hash", s.Hash)
		}
		t.entry("files", fmt.Sprintf("%s with %s, %s bytes", grouped(member(v, "files")), plural(member(v, "states"), "state"), grouped(member(v, "bytes"))))
		if n := len(r.Left); n > 0 {
			t.entry("left", fmt.Sprintf("%s of a history that the log left: %s", plural(n, "file"), strings.Join(r.Left, ", ")))
		}
	})
}

// verifyArchive reads a whole archive, without a node.
func (c *connection) verifyArchive(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err != nil {
		return usageError{fmt.Errorf("--archive: %w", err)}
	} else if !info.IsDir() {
		return usageError{fmt.Errorf("--archive: %s is not a directory", path)}
	}
	r, err := archive.NewDirectory(path).Verify(ctx)
	if err != nil {
		return err
	}
	if r.Newest() == nil && len(r.Defects) == 0 {
		return usageError{fmt.Errorf("--archive: %s holds no archive", path)}
	}
	body := spansBody(path, &r)
	body["batches"], body["commits"], body["events"] = r.Batches, r.Commits, r.Events
	err = c.archiveShown(body, &r, func(t *table, v any) {
		if r.Sound() == nil {
			t.line("The archive is intact: %s with %s, every hash and every state.", plural(member(v, "commits"), "commit"), plural(member(v, "events"), "event"))
		} else {
			t.line("The archive is NOT intact. Of the rest %s with %s were read.", plural(member(v, "commits"), "commit"), plural(member(v, "events"), "event"))
		}
	})
	return errors.Join(err, r.Sound())
}
