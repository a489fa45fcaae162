package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"dvr/cmd/internal/client"
	"dvr/controller/certs"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// store says where the log lies: in a running etcd, or in the directory of a
// node that does not run.
type store struct {
	etcd    []string
	dataDir string
	c       *connection // whose credentials are shown to etcd
}

func (s *store) bind(cmd *cobra.Command, c *connection) {
	s.c = c
	cmd.Flags().StringSliceVar(&s.etcd, "etcd", nil, "client address of the etcd that holds the log (default: that of the node at --endpoint, else "+defaultEtcd+")")
	cmd.Flags().StringVar(&s.dataDir, "data-dir", "", "data directory of a stopped node, instead of --etcd")
	cmd.MarkFlagsMutuallyExclusive("etcd", "data-dir")
}

// defaultEtcd is the client address of a node with its defaults.
const defaultEtcd = "127.0.0.1:2379"

// ask fills in etcd's address by the node at --endpoint, where none is given.
// Without a node, which may be why somebody looks at the log, it is the default.
func (s *store) ask(ctx context.Context, c *connection) {
	if len(s.etcd) > 0 || s.dataDir != "" {
		return
	}
	s.etcd = []string{defaultEtcd}
	ctx, cancel := context.WithTimeout(ctx, min(c.timeout, reachTimeout))
	defer cancel()
	var status struct{ Addresses nodeAddresses }
	_, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status)
	if p := (*client.Problem)(nil); errors.As(err, &p) {
		_ = json.Unmarshal(p.Body, &status) // a node that cannot serve tells its addresses all the same
	}
	if etcd := status.Addresses.clients(); etcd != "" {
		s.etcd = strings.Split(etcd, ",")
	}
}

// nodeAddresses is what a node says in GET /v1/status.
type nodeAddresses struct{ Etcd, Raft string }

// clients is the etcd client address; a node that tells only its Raft address
// has the one that follows from it, unless CLIENT_ADDR is set.
func (a nodeAddresses) clients() string {
	if a.Etcd != "" {
		return a.Etcd
	}
	host, port, err := net.SplitHostPort(a.Raft)
	if err != nil {
		return ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < 8300-2379 {
		return ""
	}
	return net.JoinHostPort(host, strconv.FormatUint(n-8300+2379, 10))
}

// reachTimeout is for a first answer of a program that runs.
const reachTimeout = 5 * time.Second

// open gives a client of the store and what ends it. write: it is to be changed.
func (s *store) open(ctx context.Context, write bool) (*clientv3.Client, func(), error) {
	switch {
	case s.dataDir != "" && write:
		return openDir(ctx, s.dataDir)
	case s.dataDir != "":
		return openCopy(ctx, s.dataDir)
	}
	credentials, err := s.c.credentials()
	if err != nil {
		return nil, nil, err
	}
	etcd, err := clientv3.New(clientv3.Config{
		DialOptions: []grpc.DialOption{credentials.DialRPC(certs.Node)},
		Endpoints:   s.etcd, DialTimeout: reachTimeout, Logger: zap.NewNop(), MaxCallRecvMsgSize: 256 << 20, MaxCallSendMsgSize: 4 << 20,
	})
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--etcd: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if _, err := etcd.Get(ctx, "/dvr/log/head", clientv3.WithCountOnly()); err != nil {
		_ = etcd.Close()
		return nil, nil, fmt.Errorf("etcd at %s: %w: %w\n(--etcd names another one, --data-dir the directory of a stopped node)", strings.Join(s.etcd, ","), client.ErrUnreachable, err)
	}
	return etcd, func() { _ = etcd.Close() }, nil
}

func logVerify(c *connection) *cobra.Command {
	var s store
	var archived string
	var from, to uint64
	var offline bool
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Check the stored log: form, density, hash chain, head, staged parts, snapshots; or an export against it", Args: cobra.MaximumNArgs(1),
		Long: "Read the whole log from etcd and check all that it promises: form, density, the SHA-256 chain\n" +
			"up to the head, staged parts, the snapshots' checksums and digests, and that nothing foreign lies\n" +
			"beside it. Nothing is written. The first defect is named and the exit code is 1.\n\n" +
			"--data-dir takes the directory of any stopped node, one of a cluster, too: it checks what that\n" +
			"member has, on a copy in TMPDIR (as large as the directory), and leaves the directory as it is.\n\n" +
			"--archive takes an archive (ARCHIVE_DIR, `dvr log archive`) and needs no node: every file's SHA-256, every\n" +
			"commit, the hash chain from file to file, every state. Each defect and each gap is named; exit code 1.\n\n" +
			"FILE is an export (`dvr log export`): every commit's place in the hash chain is checked, then the chain is\n" +
			"held against the log of the cluster at --endpoint, as far back as that goes, and the log from there against\n" +
			"the hash at which the cluster stands. --from and --to demand that FILE holds these. --offline asks no cluster:\n" +
			"it proves that nothing was changed since somebody wrote FILE, and not who. What is wrong has an exit code\n" +
			"each: 9 something was changed, 10 commits are missing, 11 they are in another order, 12 it is of another log,\n" +
			"13 the cluster's log holds another history; 3 the cluster has none of these commits any more.",
		Example: "  dvr log verify\n  dvr log verify --from 4000 --to 4711 audit.ndjson\n  dvr log verify --archive ./history",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if err := checkRange(cmd, from, to); err != nil {
				return err
			}
			exported := len(args) == 1
			for name, about := range map[string]bool{"from": true, "to": true, "offline": true, "archive": false, "etcd": false, "data-dir": false} {
				switch {
				case !cmd.Flags().Changed(name) || about == exported:
				case exported:
					return usageError{fmt.Errorf("--%s: an export is held against the cluster at --endpoint", name)}
				default:
					return usageError{fmt.Errorf("--%s is about an export: name its FILE", name)}
				}
			}
			if exported {
				return c.verifyExport(cmd.Context(), args[0], eventlog.Revision(from), eventlog.Revision(to), offline)
			}
			if archived != "" {
				return c.verifyArchive(cmd.Context(), archived)
			}
			s.ask(cmd.Context(), c)
			etcd, done, err := s.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer done()
			var r replay
			v, err := etcdlog.Verify(cmd.Context(), etcd, r.visitor())
			if err != nil {
				return err
			}
			return c.verified(v, r.digest())
		},
	}
	s.bind(cmd, c)
	cmd.Flags().StringVar(&archived, "archive", "", "directory of an archive, instead of a log")
	cmd.Flags().Uint64Var(&from, "from", 0, "first revision that the export FILE must hold")
	cmd.Flags().Uint64Var(&to, "to", 0, "last revision that the export FILE must hold")
	cmd.Flags().BoolVar(&offline, "offline", false, "check the export FILE alone")
	cmd.MarkFlagsMutuallyExclusive("archive", "etcd", "data-dir")
	return cmd
}

func (c *connection) verified(v etcdlog.Verification, digest projector.Digest) error {
	raw, err := json.Marshal(map[string]any{
		"log_id": v.LogID, "first_revision": v.Low, "revision": v.Head.Revision, "epoch": v.Head.Epoch,
		"hash": fmt.Sprintf("%x", v.Head.Hash), "digest": digest.String(), "batches": v.Batches, "commits": v.Commits,
		"events": v.Events, "staged_commits": v.Stages, "bytes": v.Bytes, "snapshots": len(v.Snapshots),
	})
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, intact)
}

// intact prints what a log holds that was found good.
func intact(t *table, v any) {
	t.line("The log is intact: revisions %s to %s, every hash up to the head.", text(member(v, "first_revision")), text(member(v, "revision")))
	t.section("LOG")
	t.entry("log", member(v, "log_id"))
	t.entry("epoch", member(v, "epoch"))
	t.entry("log hash", member(v, "hash"))
	t.entry("state digest", member(v, "digest"))
	t.entry("commits", fmt.Sprintf("%s with %s, %s of them staged", grouped(member(v, "commits")), plural(member(v, "events"), "event"), grouped(member(v, "staged_commits"))))
	t.entry("stored", fmt.Sprintf("%s of %s bytes", strings.Replace(plural(member(v, "batches"), "batch"), "batchs", "batches", 1), grouped(member(v, "bytes"))))
	t.entry("snapshots", member(v, "snapshots"))
}

// replay folds a log while it is verified, beginning at the oldest snapshot
// where the log was truncated, and compares every snapshot's digest with the
// fold's at that revision.
type replay struct {
	fold    *projector.Fold
	low     eventlog.Revision
	digests map[eventlog.Revision]string // of the snapshots
}

var errDigest = errors.New("the snapshot's digest is not that of the log folded up to it")

func (r *replay) visitor() etcdlog.Visitor {
	return etcdlog.Visitor{
		Begin: func(v etcdlog.Verification) error {
			r.low, r.digests = v.Low, map[eventlog.Revision]string{}
			if v.Low == 1 {
				r.fold = projector.NewFold(v.LogID)
			}
			return nil
		},
		Snapshot: r.snapshot,
		Batch:    r.batch,
	}
}

func (r *replay) snapshot(info eventlog.SnapshotInfo, in io.Reader) error {
	fold, err := projector.Load(in)
	if err != nil {
		return err
	}
	state := fold.Current()
	if at := state.Position(); at.Revision != info.Revision || state.Digest().String() != info.Digest {
		return fmt.Errorf("%w: it holds revision %d, digest %s; its manifest says %d, %s", eventlog.ErrCorrupt, at.Revision, state.Digest(), info.Revision, info.Digest)
	}
	r.digests[info.Revision] = info.Digest
	if r.fold == nil && info.Revision+1 >= r.low {
		r.fold = fold
	}
	return nil
}

func (r *replay) batch(b *eventlog.Batch) error {
	if r.fold == nil {
		return fmt.Errorf("%w: the log begins at revision %d and no snapshot says what went before", eventlog.ErrHole, r.low)
	}
	for i := range b.Commits {
		k := &b.Commits[i]
		if k.Revision <= r.fold.Current().Position().Revision {
			continue
		}
		if err := r.fold.Apply(k, b.Hash); err != nil {
			return err
		}
		if want, ok := r.digests[k.Revision]; ok && want != r.digest().String() {
			return fmt.Errorf("revision %d: %w: %w: %s, not %s", k.Revision, eventlog.ErrCorrupt, errDigest, want, r.digest())
		}
	}
	return nil
}

func (r *replay) digest() projector.Digest {
	if r.fold == nil {
		return projector.Digest{}
	}
	return r.fold.Current().Digest()
}

func logRepair(c *connection) *cobra.Command {
	var s store
	cmd := &cobra.Command{
		Use: "repair", Short: "Rebuild the head of the log from its batches", Args: cobra.NoArgs,
		Long: "Rebuild /dvr/log/head where it is missing, unreadable or does not fit the batches. Refused where a\n" +
			"batch is damaged; a good head is left as it is.\n\n" +
			"A node that is alone: stop it, and name its --data-dir. A cluster: stop every node, start all with\n" +
			"ETCD_WRITABLE=true, repair with --etcd at one of them (CLIENT_ADDR), start them again without;\n" +
			"with --data-dir it is refused, since the other members would not have what one of them wrote.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			s.ask(cmd.Context(), c)
			etcd, done, err := s.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer done()
			head, err := etcdlog.RebuildHead(cmd.Context(), etcd)
			if errors.Is(err, etcdlog.ErrHeadIntact) {
				return c.intact()
			}
			if errors.Is(err, etcdlog.ErrReadOnly) {
				return fmt.Errorf("%w: stop every node, start all with ETCD_WRITABLE=true, repair again, then start them without it", err)
			}
			if err != nil {
				return err
			}
			raw := eventlog.AppendHead(nil, head)
			body, err := decode(raw)
			if err != nil {
				return err
			}
			return c.print(raw, body, members)
		},
	}
	s.bind(cmd, c)
	return cmd
}

// intact says that the log is as it should be.
func (c *connection) intact() error {
	const status = "the head fits the batches: nothing to repair"
	body := map[string]any{"status": status}
	return c.print([]byte(`{"status":"`+status+`"}`), body, func(t *table, _ any) { t.line("%s", status) })
}
