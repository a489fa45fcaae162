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
	"dvr/controller/backup"
	"dvr/controller/durable"
	"dvr/controller/node"
)

func backupCommand(c *connection, shared []string) *cobra.Command {
	var local bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write the state at one revision, keys included, to a file that a new cluster can be made of", Args: cobra.ExactArgs(1),
		Long: "Write routes, routers, links, keys and all else that the log's newest revision holds to FILE, from a running node.\n" +
			"The file is checked as `dvr backup verify` does before it takes its place: FILE is the whole new backup or\n" +
			"what it was before. It holds the values of keys and is readable to its owner only. History is not in it.\n\n" +
			"dvr restore makes a new cluster of it.",
		Example: "  dvr backup /var/backups/dvr/$(date -u +%Y%m%dT%H%M%SZ).backup\n  dvr backup dvr.backup --local",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			cl, err := c.open()
			if err != nil {
				return err
			}
			call := client.Call{Method: http.MethodGet, Path: "/v1/backup", Query: url.Values{}}
			if local {
				call.Query.Set("consistency", "local")
			}
			body, _, err := cl.Stream(cmd.Context(), call)
			if err != nil {
				return c.advise(err)
			}
			defer body.Close()
			b, err := storeBackup(args[0], body)
			if err != nil {
				return err
			}
			return c.backedUp(args[0], b, "%s is a backup of revision %s")
		},
	}
	cmd.Flags().BoolVar(&local, "local", false, "take what the node has, though it has no quorum and may be behind")
	verify := backupVerify(c)
	withoutShared(verify, butOutput(shared))
	cmd.AddCommand(verify)
	return cmd
}

func backupVerify(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check a backup without a node: whole, undamaged, and the state that it says", Args: cobra.ExactArgs(1),
		Long: "Read the whole file: its SHA-256, every line, and the state's digest, computed anew. What passes can be\n" +
			"restored. Exit code 1 where it is damaged, cut off, or made by a newer program.",
		Example: "  dvr backup verify dvr.backup\n  dvr backup verify dvr.backup -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			b, err := readBackup(args[0])
			if err != nil {
				return err
			}
			return c.backedUp(args[0], b, "%s is intact: a backup of revision %s")
		},
	}
}

// readBackup reads and checks a file.
func readBackup(name string) (*backup.Backup, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, usageError{fmt.Errorf("%s is not a file", name)}
	}
	b, err := backup.Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// storeBackup puts what comes into a file beside name, checks it, and has it
// take name's place.
func storeBackup(name string, body io.Reader) (*backup.Backup, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, usageError{fmt.Errorf("%s is not a file", name)}
	}
	var b *backup.Backup
	err := durable.Store(name, func(w io.Writer) error {
		if _, err := io.Copy(w, body); err != nil {
			return fmt.Errorf("%w: the backup ended early: %w", client.ErrUnreachable, err)
		}
		return nil
	}, func(r io.ReaderAt, size int64) (err error) {
		b, err = backup.Read(r, size)
		return err
	})
	return b, err
}

// backedUp prints what a backup holds.
func (c *connection) backedUp(name string, b *backup.Backup, first string) error {
	stats := b.Fold.Current().Stats()
	raw, err := json.Marshal(struct {
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
		backup.Header
		Routes       int   `json:"routes"`
		Destinations int   `json:"destinations"`
		Routers      int   `json:"routers"`
		Links        int   `json:"links"`
		Keys         int   `json:"keys"`
		KeyBytes     int64 `json:"key_bytes"`
	}{name, b.Bytes, b.Header, stats.Routes, stats.Destinations4 + stats.Destinations6, stats.Routers, stats.Links, stats.Keys, stats.KeyBytes})
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, func(t *table, v any) {
		t.line(first+", epoch %s.", name, text(member(v, "revision")), text(member(v, "epoch")))
		t.section("BACKUP")
		t.entry("log", member(v, "log_id"))
		t.entry("log hash", member(v, "hash"))
		t.entry("state digest", member(v, "digest"))
		t.entry("made", fmt.Sprintf("%s by %s (%s)", time.UnixMilli(b.Header.Made).UTC().Format(time.RFC3339), orDash(b.Header.Node), orDash(b.Header.Program)))
		t.entry("holds", fmt.Sprintf("%s, %s, %s, %s", plural(member(v, "routes"), "route"), plural(member(v, "routers"), "router"), plural(member(v, "links"), "link"), plural(member(v, "keys"), "key")))
		t.entry("file", grouped(member(v, "bytes"))+" bytes")
	})
}

// restoreLimit bounds a restore: etcd starts alone, nobody is waited for.
const restoreLimit = 15 * time.Minute

func restoreCommand(c *connection) *cobra.Command {
	var dir, reason string
	var epoch uint64
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make the first member of a new cluster out of a backup", Args: cobra.ExactArgs(1),
		Long: "Check the backup and put its state into --data-dir, which must hold no node's data; then start a node on it\n" +
			"and let the others join it (JOIN). The log goes on under its id, in a new epoch: data planes of the lost\n" +
			"cluster reconcile, and what is equal is not touched. Where anything fails nothing is left behind.\n\n" +
			"Nodes of the lost cluster must not run any more. If it had opened epochs after the backup was made (by\n" +
			"`dvr cluster recover` or an earlier restore), name a later one with --epoch: data planes follow no epoch\n" +
			"behind their own.",
		Example: "  dvr restore dvr.backup --data-dir ./data/node1\n  NODE_ID=node-1 DATA_DIR=./data/node1 dvr node",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if dir == "" {
				return usageError{errors.New("--data-dir is empty")}
			}
			b, err := readBackup(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), restoreLimit)
			defer cancel()
			r, err := node.Restore(ctx, dir, b, node.RestoreOptions{Epoch: epoch, Reason: reason, Now: time.Now(), Logger: recoverLog(c.errOut)})
			if err != nil {
				return err
			}
			c.notice("%s holds revision %d of log %s in epoch %d now. Start a node on it; the others JOIN it with an empty DATA_DIR.", dir, r.From, r.LogID, r.Epoch)
			return c.printObject(r, restoredTable)
		},
	}
	byDefault := "./data"
	for _, name := range []string{"DATA_DIR", "DVR_DATA_DIR"} {
		if v := os.Getenv(name); v != "" {
			byDefault = v
		}
	}
	cmd.Flags().StringVar(&dir, "data-dir", byDefault, "data directory of the node to be (DATA_DIR)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, as kept in the log")
	cmd.Flags().Uint64Var(&epoch, "epoch", 0, "epoch to open (default: the backup's plus one)")
	return cmd
}

func restoredTable(t *table, body any) {
	t.row("log", member(body, "log_id"))
	t.row("of the backup's revision", member(body, "from"))
	t.row("state digest there", member(body, "digest"))
	t.row("routes", grouped(member(body, "routes")))
	t.row("epoch", member(body, "epoch"))
	t.row("revision", member(body, "revision"))
}
