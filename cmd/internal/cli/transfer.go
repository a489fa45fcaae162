package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dvr/cmd/internal/client"
	"dvr/controller/durable"
)

// importTimeout is for an import that is given none: the API's largest.
const importTimeout = 5 * time.Minute

// errRefusedLines: an import stored what was good and refused the rest.
var errRefusedLines = errors.New("some lines were refused")

// importing is what an import is of.
type importing struct {
	path, short, long string
	replace, scope    string // the help of these flags
}

func routeImport(c *connection) *cobra.Command {
	return importCommand(c, &importing{
		path: "/v1/routes/import", short: "Import routes, one JSON object a line (.gz and .zst as they are)",
		long: "Import routes from NDJSON: one route object a line, as `dvr route export` writes them.\n" +
			"The routes are committed in order, 1,000 at a time: an import is not one change (but with --atomic or\n" +
			"--replace). Lines that are refused are\n" +
			"named and left out, the others are committed (exit code 2); an import that is cut off has committed what came\n" +
			"before, and is resumed by repeating it as it was under the same --idempotency-key. A file is sent to the next --endpoint\n" +
			"by itself when one fails.",
		replace: "the lines are the desired state: withdraw the routes of the scope that are not in them (one commit)",
		scope:   "with --replace: tag:NAME, router:NAME or origin:NAME (default: every route)",
	})
}

func topologyImport(c *connection) *cobra.Command {
	return importCommand(c, &importing{
		path: "/v1/topology/import", short: "Import routers and links, one JSON object a line (.gz and .zst as they are)",
		long: "Import routers and links from NDJSON: one event a line, as `dvr topology export` writes them. With --replace the\n" +
			"lines are the desired topology, and only the difference is committed: see it first with --dry-run.\n\n" +
			"  {\"kind\":\"router.set\",\"router\":\"r1\",\"description\":\"edge\",\"tags\":[\"core\"],\"drained\":\"soft\"}\n" +
			"  {\"kind\":\"link.set\",\"a\":\"r1\",\"b\":\"r2\",\"name\":\"spare\",\"cost_ab\":10,\"cost_ba\":10,\"address_a\":[\"10.0.12.1\"],\"address_b\":[\"10.0.12.2\"],\n" +
			"   \"interface_a\":\"eth0\",\"interface_b\":\"eth1\",\"down\":true,\"tags\":[\"x\"]}\n\n" +
			"These are all members there are, each event on one line; all but kind and the names of the routers may be left out.",
		replace: "the lines are the desired topology: remove the routers and links of the scope that are not in them (one commit)",
		scope:   "with --replace: tag:NAME, or router:NAME, that router and its links (default: every router and link)",
	})
}

func importCommand(c *connection, of *importing) *cobra.Command {
	var m mutation
	var atomic, replace bool
	var scope string
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: of.short, Args: cobra.ExactArgs(1),
		Long: of.long,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, size, encoding, err := openImport(args[0], c.in)
			if err != nil {
				return usageError{err}
			}
			defer in.Close()
			if m.key == "" {
				m.key = client.NewKey()
			}
			if !cmd.Flags().Changed("timeout") {
				c.timeout = importTimeout
			}
			query := filters("scope", scope)
			if atomic {
				query.Set("atomic", "true")
			}
			if replace {
				query.Set("mode", "replace")
			}
			call := m.call(http.MethodPost, of.path, query, nil, c.timeout)
			call.Header.Set("Content-Type", "application/x-ndjson")
			if encoding != "" {
				call.Header.Set("Content-Encoding", encoding)
			}
			cl, err := c.open()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.deadline(call))
			defer cancel()
			progress := startProgress(c, size, encoding == "")
			var body any
			answer, err := cl.Upload(ctx, call, &counted{in, progress}, &body)
			progress.stop()
			if err != nil {
				var p *client.Problem
				if errors.As(err, &p) {
					c.refusedLines(p)
				}
				if errors.Is(err, client.ErrUnreachable) {
					return fmt.Errorf("%w\nResume with: %s", err, repetition(cmd, args, m.key))
				}
				return err
			}
			refused := list(body, "refused")
			if err := c.print(answer.Body, body, func(t *table, body any) {
				t.row("accepted", grouped(member(body, "accepted"))+progress.pace(count(member(body, "accepted"))))
				if changes := member(body, "changes"); replace && changes != nil {
					t.row("changes", grouped(changes)+", what was withdrawn or removed among them")
				}
				t.row("revisions", text(member(body, "first_revision"))+" to "+text(member(body, "last_revision")))
				refusals(t, body, "")
				pledges(t, body, member(body, "last_revision"))
			}); err != nil {
				return err
			}
			if answer.Status == http.StatusAccepted || len(refused) == 0 {
				return m.installed(c, answer.Status, body)
			}
			return usageError{errRefusedLines}
		},
	}
	cmd.Flags().BoolVar(&atomic, "atomic", false, "make it one commit: all lines or none")
	cmd.Flags().BoolVar(&replace, "replace", false, of.replace)
	cmd.Flags().StringVar(&scope, "scope", "", of.scope)
	m.bind(cmd)
	return cmd
}

// repetition is the command line again, as a shell takes it, under the key of what
// was begun. With other flags it would be another request: a part of one commit
// left out, or what undoes itself for good. A token is not shown.
func repetition(cmd *cobra.Command, args []string, key string) string {
	words := []string{cmd.CommandPath(), "--idempotency-key", shellWord(key)}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			switch {
			case f.Name == "idempotency-key":
			case f.Name == "token":
				words = append(words, "--token", "TOKEN")
			case f.NoOptDefVal == "":
				words = append(words, "--"+f.Name, shellWord(v))
			case f.NoOptDefVal == v:
				words = append(words, "--"+f.Name)
			default:
				words = append(words, "--"+f.Name+"="+shellWord(v))
			}
		}
	})
	for _, a := range args {
		words = append(words, shellWord(a))
	}
	return strings.Join(words, " ")
}

// shellWord is a text as one word of a shell's line.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("%+,-./:=@_", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// refusals prints the refused lines that an import names, and how many there
// are; not the one that is told elsewhere.
func refusals(t *table, body any, elsewhere string) {
	refused := list(body, "refused")
	for _, r := range refused {
		if line := refusal(r); line != elsewhere {
			t.row("refused", line)
		}
	}
	if n := count(member(body, "refused_count")); n > int64(len(refused)) {
		t.row("refused", fmt.Sprintf("%d lines in all", n))
	}
}

// refusedLines prints what an import that failed says of its lines, on errOut:
// the answer is an error.
func (c *connection) refusedLines(p *client.Problem) {
	body, err := decode(p.Body)
	if err != nil || len(list(body, "refused")) == 0 || c.output != "table" { // a document has them
		return
	}
	t := newTable(c.errOut)
	if n := count(member(body, "accepted")); n > 0 {
		t.row("accepted", fmt.Sprintf("%d before it failed, up to revision %s", n, text(member(body, "last_revision"))))
	}
	refusals(t, body, p.Error())
	_ = t.flush() // the error that follows says that it failed
}

// refusal is a refused line for a reader.
func refusal(r any) string {
	where := "line " + text(member(r, "line")) + ": "
	if field, _ := member(r, "field").(string); field != "" {
		where += field + ": "
	}
	return where + text(member(r, "reason"))
}

// standardInput is not closed; it seeks where it is a file.
type standardInput struct{ io.Reader }

func (standardInput) Close() error { return nil }

func (s standardInput) Seek(offset int64, whence int) (int64, error) {
	if seeker, ok := s.Reader.(io.Seeker); ok {
		return seeker.Seek(offset, whence)
	}
	return 0, errors.ErrUnsupported
}

// openImport opens a file or standard input; the encoding follows from the name.
func openImport(name string, stdin io.Reader) (in io.ReadCloser, size int64, encoding string, err error) {
	if name == "-" {
		return standardInput{stdin}, 0, "", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, "", err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, "", err
	}
	switch filepath.Ext(name) {
	case ".gz":
		encoding = "gzip"
	case ".zst":
		encoding = "zstd"
	}
	return f, info.Size(), encoding, nil
}

func routeExport(c *connection) *cobra.Command {
	var router, within, covering, nextHop, file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all routes as NDJSON, one revision throughout", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			call := client.Call{
				Method: http.MethodGet, Path: "/v1/routes", Query: filters("router", router, "within", within, "covering", covering, "next_hop", nextHop, "at", c.at),
				Header: http.Header{"Accept": {"application/x-ndjson"}},
			}
			return c.export(cmd.Context(), call, file)
		},
	}
	cmd.Flags().StringVar(&router, "router", "", "only routes that are this router's own (* for those that every router has; default: all)")
	cmd.Flags().StringVar(&within, "within", "", "only destinations inside this prefix, itself included")
	cmd.Flags().StringVar(&covering, "covering", "", "only destinations that contain this prefix or address")
	cmd.Flags().StringVar(&nextHop, "next-hop", "", "only routes with this next hop")
	cmd.Flags().StringVarP(&file, "file", "f", "", "write to this file, which is replaced once all has come; compressed where it ends in .gz or .zst")
	c.pastFlag(cmd)
	return cmd
}

// export writes what a call streams to a file, or to the output.
func (c *connection) export(ctx context.Context, call client.Call, file string) error {
	cl, err := c.open()
	if err != nil {
		return err
	}
	body, _, err := cl.Stream(ctx, call)
	if err != nil {
		return c.advise(err)
	}
	defer body.Close()
	if file != "" && file != "-" {
		return replaceFile(file, body)
	}
	return spill(c.out, body, "")
}

// spill writes what body gives, compressed as name's ending says: what is read from a
// file of that name is read so, too.
func spill(w io.Writer, body io.Reader, name string) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	out, err := packer(buffered, name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, body); err != nil {
		return errors.Join(fmt.Errorf("export: %w", err), out.Close())
	}
	return errors.Join(out.Close(), buffered.Flush())
}

// packer compresses for w where name ends in .gz or .zst.
func packer(w io.Writer, name string) (io.WriteCloser, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewWriter(w), nil
	case ".zst":
		return zstd.NewWriter(w)
	}
	return plain{w}, nil
}

// plain is a Writer with nothing to end.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// replaceFile puts what body gives in the place of a file, or leaves that as it
// is where body ends early. What is not a regular file, such as a pipe, is
// written to; a link keeps pointing where it does.
func replaceFile(name string, body io.Reader) (err error) {
	asked := name
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(spill(f, body, asked), f.Close())
	}
	f, err := durable.Create(name, renameio.WithPermissions(0o666), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if err := spill(f, body, asked); err != nil {
		return err
	}
	return f.Commit()
}
