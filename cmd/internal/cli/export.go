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
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/archive"
	"dvr/controller/durable"
	"dvr/controller/export"
	"dvr/eventlog"
)

func logExport(c *connection) *cobra.Command {
	var from, to uint64
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write a range of commits for auditors, bound by the hash chain", Args: cobra.ExactArgs(1),
		Long: "Write the commits --from to --to as they are in the log to FILE, from a running node: who, when, from where,\n" +
			"why, by which right, and every event, a line of JSON each. The hash chain binds each to all before it: nothing\n" +
			"can be changed, left out or moved unseen. `dvr log verify FILE` proves it against the cluster. FILE is replaced\n" +
			"only by a whole export that was read back; it holds the values of keys and is readable to its owner only.",
		Example: "  dvr log export audit.ndjson\n  dvr log export --from 4000 --to 4711 audit.ndjson && dvr log verify --from 4000 --to 4711 audit.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if err := checkRange(cmd, from, to); err != nil {
				return err
			}
			return c.writeExport(cmd.Context(), args[0], eventlog.Revision(from), eventlog.Revision(to))
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "first revision (default: the oldest that the cluster has)")
	cmd.Flags().Uint64Var(&to, "to", 0, "last revision (default: the newest)")
	return cmd
}

// checkRange refuses --from and --to that name no range.
func checkRange(cmd *cobra.Command, from, to uint64) error {
	for name, v := range map[string]uint64{"from": from, "to": to} {
		if cmd.Flags().Changed(name) && v == 0 {
			return usageError{fmt.Errorf("--%s: revisions begin with 1", name)}
		}
	}
	if to > 0 && from > to {
		return usageError{fmt.Errorf("--from %d is behind --to %d", from, to)}
	}
	return nil
}

// standing is what a cluster says of its log, read linearizably.
type standing struct {
	Position struct {
		LogID string `json:"log_id"`
		Epoch uint64
	}
	Revision eventlog.Revision
	Hash     string
}

func (c *connection) standing(ctx context.Context) (s standing, err error) {
	_, err = c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status", Query: url.Values{"consistency": {"linearizable"}}}, &s)
	return s, err
}

// writeExport writes and checks a file. from and to may be 0.
func (c *connection) writeExport(ctx context.Context, name string, from, to eventlog.Revision) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return usageError{fmt.Errorf("%s is not a file", name)}
	}
	cl, err := c.open()
	if err != nil {
		return err
	}
	s, err := c.standing(ctx)
	if err != nil {
		return err
	}
	if to == 0 {
		to = s.Revision
	}
	if newest := max(from, to); newest > s.Revision {
		return usageError{fmt.Errorf("revision %d is one to come: the newest is %d", newest, s.Revision)}
	}
	var x *export.Export
	write := func(first eventlog.Revision) error {
		return durable.Store(name, func(w io.Writer) error {
			log := &remoteLog{client: cl, to: to}
			defer log.close()
			return export.Write(ctx, w, log, first, to, export.Maker{LogID: s.Position.LogID, Program: version(), Now: time.Now()})
		}, func(r io.ReaderAt, size int64) error {
			x, err = export.Read(io.NewSectionReader(r, 0, size))
			return err
		})
	}
	err = write(max(from, 1))
	if oldest, ok := gone(err); ok && from == 0 && oldest < to {
		err = write(oldest + 1)
	}
	if err != nil {
		return c.advise(err)
	}
	return c.exported(name, x, nil, "%s holds %s")
}

// remoteLog is a cluster's log, its archive included, read over the API up to a
// revision.
type remoteLog struct {
	client *client.Client
	to     eventlog.Revision
	file   *os.File
	now    *archive.History // in file
}

func (l *remoteLog) close() {
	if l.file != nil {
		_ = l.file.Close() // it has no name any more
		l.file = nil
	}
}

// Read is export.Source's. Each batch is proven by the chain from the first on.
func (l *remoteLog) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	tip := ""
	for after < l.to {
		if err := l.fetch(ctx, after); err != nil {
			return fmt.Errorf("the commits after revision %d: %w", after, err)
		}
		h, x := l.now.Header(), l.now.Index()
		if x.Last <= after || h.First > after+1 || tip != "" && h.First == after+1 && h.Prev != tip {
			return fmt.Errorf("the commits after revision %d: %w: the log has become another one meanwhile", after, eventlog.ErrHeadMoved)
		}
		if err := l.now.Read(after, fn); err != nil {
			return err
		}
		after, tip = x.Last, x.Hash
	}
	return nil
}

// fetch gets the file of history after a revision.
func (l *remoteLog) fetch(ctx context.Context, after eventlog.Revision) error {
	l.close()
	body, _, err := l.client.Stream(ctx, client.Call{Method: http.MethodGet, Path: "/v1/archive", Query: url.Values{
		"after": {fmt.Sprint(after)}, "to": {fmt.Sprint(l.to)}, "min_revision": {fmt.Sprint(l.to)},
	}})
	if err != nil {
		return err
	}
	defer body.Close()
	if l.file, err = os.CreateTemp("", "dvr-history-*"); err != nil {
		return err
	}
	if err := os.Remove(l.file.Name()); err != nil {
		return err
	}
	n, err := io.Copy(l.file, body)
	if err != nil {
		return fmt.Errorf("%w: the answer ended early: %w", client.ErrUnreachable, err)
	}
	l.now, err = archive.OpenHistory(l.file, n)
	return err
}

// StageParts is export.Source's, of what Read gives at that moment.
func (l *remoteLog) StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	return l.now.StageParts(ctx, s, fn)
}

// exported prints what an export holds, and what it was proven against.
func (c *connection) exported(name string, x *export.Export, p *proof, first string) error {
	raw, err := json.Marshal(struct {
		File    string            `json:"file"`
		LogID   string            `json:"log_id"`
		First   eventlog.Revision `json:"first"`
		Last    eventlog.Revision `json:"last"`
		Prev    string            `json:"prev"`
		Hash    string            `json:"hash"`
		Commits int               `json:"commits"`
		Events  int64             `json:"events"`
		Begin   int64             `json:"begin"`
		End     int64             `json:"end"`
		Proof   *proof            `json:"proof,omitempty"`
	}{name, x.LogID, x.First, x.Last, fmt.Sprintf("%x", x.Prev), fmt.Sprintf("%x", x.Hash(x.Last)), len(x.Links), x.Events, x.Begin, x.End, p})
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, func(t *table, v any) {
		t.line(first+".", name, plural(member(v, "commits"), "commit"))
		t.section("EXPORT")
		t.entry("log", member(v, "log_id"))
		t.entry("revisions", fmt.Sprintf("%d to %d (%s to %s)", x.First, x.Last, time.UnixMilli(x.Begin).UTC().Format(time.RFC3339), time.UnixMilli(x.End).UTC().Format(time.RFC3339)))
		t.entry("events", grouped(member(v, "events")))
		t.entry("log hash", member(v, "hash"))
		if p != nil {
			t.entry("proven", fmt.Sprintf("revisions %d to %d against the cluster's log, and that log up to its newest, %d (%s)", p.First, p.Last, p.Revision, p.Hash))
		}
	})
}

// errParted: the cluster's log holds another history than the export.
var errParted = errors.New("the cluster's log holds another history")

// errOtherLog: the export is of another cluster.
var errOtherLog = errors.New("an export of another log")

// proof is what an export was held against.
type proof struct {
	First    eventlog.Revision `json:"first"` // from which on the cluster has the commits: those before are proven by their hash
	Last     eventlog.Revision `json:"last"`
	Revision eventlog.Revision `json:"revision"` // of the log, at that moment
	Hash     string            `json:"hash"`     // of the log there
}

// verifyExport reads a file, and holds it against the cluster unless offline.
func (c *connection) verifyExport(ctx context.Context, name string, from, to eventlog.Revision, offline bool) error {
	f, err := os.Open(name)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	x, err := export.Read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if from > 0 && from < x.First || max(from, to) > x.Last {
		return fmt.Errorf("%s: %w: it holds revisions %d to %d", name, export.ErrIncomplete, x.First, x.Last)
	}
	if offline {
		return c.exported(name, x, nil, "%s is whole: %s, each bound to the one before. Whose log it is was not asked")
	}
	p, err := c.prove(ctx, x)
	if err != nil {
		return fmt.Errorf("%s: %w", name, c.advise(err))
	}
	return c.exported(name, x, p, "%s is what the cluster's log holds: %s")
}

// prove holds an export against the cluster's log, and that, from there on,
// against the hash at which the cluster stands. Cost: a pass over the log from
// the export's first commit on. Errors: errOtherLog, errParted, the API's: 410
// where the cluster has nothing of it any more.
func (c *connection) prove(ctx context.Context, x *export.Export) (*proof, error) {
	cl, err := c.open()
	if err != nil {
		return nil, err
	}
	s, err := c.standing(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Position.LogID != x.LogID:
		return nil, fmt.Errorf("%w: it is of %s, the cluster's is %s", errOtherLog, x.LogID, s.Position.LogID)
	case s.Revision < x.Last:
		return nil, fmt.Errorf("%w: it ends with revision %d, the export with %d", errParted, s.Revision, x.Last)
	}
	log := &remoteLog{client: cl, to: s.Revision}
	defer log.close()
	p := &proof{First: x.First, Last: x.Last, Revision: s.Revision}
	hold := func(b *eventlog.Batch) error {
		if b.First() > x.Last+1 && b.Last() < s.Revision {
			return nil // bound by the chain that Read follows
		}
		if r := b.First(); r >= x.First && r <= x.Last+1 && b.Prev != x.Hash(r-1) {
			return fmt.Errorf("%w before revision %d", errParted, r)
		}
		return eventlog.EachCommit(b.Raw, b.By, func(r eventlog.Revision, _ []byte, h eventlog.Hash) error {
			if r == s.Revision {
				p.Hash = fmt.Sprintf("%x", h)
			}
			if r+1 < x.First || r > x.Last {
				return nil
			}
			if h != x.Hash(r) || r >= x.First && b.Epoch != x.Links[r-x.First].Epoch {
				return fmt.Errorf("%w at revision %d", errParted, r)
			}
			return nil
		})
	}
	err = log.Read(ctx, x.First-1, hold)
	if oldest, ok := gone(err); ok && oldest <= x.Last {
		p.First = oldest + 1
		err = log.Read(ctx, oldest, hold)
	}
	if err != nil {
		return nil, err
	}
	if p.Hash != s.Hash {
		return nil, fmt.Errorf("%w: the log as it is stored leads to %s, the cluster stands at %s", eventlog.ErrCorrupt, p.Hash, s.Hash)
	}
	return p, nil
}
