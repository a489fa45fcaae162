package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// What a bundle asks: every node about itself, and one that answers about the cluster.
var (
	nodeAnswers    = []string{"health", "readyz", "version", "metrics", "cluster/status", "v1/status", "v1/dataplanes"}
	clusterAnswers = []string{"v1/cluster/members", "v1/routers", "v1/links", "v1/guards", "v1/freezes", "v1/timers", "v1/confirmations"}
)

// bundleCommits is how many of the newest commits are in it, and bundleLines
// how many of a log's last lines.
const (
	bundleCommits = 200
	bundleLines   = 5000
)

func supportBundleCommand(c *connection) *cobra.Command {
	var values bool
	var launcher string
	cmd := &cobra.Command{
		Use: "support-bundle [FILE]", Short: "Gather what helps to find out what is wrong, in one file", Args: cobra.MaximumNArgs(1),
		Long: "Ask every node for its state, figures and data planes, and one of them for members, topology, policy and the\n" +
			"newest commits; with --launcher also for the logs of the processes. What could not be had is in errors.txt.\n\n" +
			"It holds addresses, routes, actors and reasons, and no values of keys unless --values: look into it before\n" +
			"you give it away (tar -tzvf FILE). FILE is not overwritten; by default its name has the time.\n" +
			"Without TLS a token is sent to the nodes named with --endpoint only: name all.",
		Example: "  dvr support-bundle\n  dvr support-bundle /tmp/dvr.tar.gz --launcher localhost:8080",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			now := time.Now().UTC()
			name := "dvr-support-" + now.Format("20060102T150405Z") + ".tar.gz"
			if len(args) > 0 {
				name = args[0]
			}
			f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			b := &bundle{connection: c, at: now, values: values}
			err = errors.Join(b.write(cmd.Context(), f, launcher), f.Close())
			if err != nil {
				_ = os.Remove(name)
				return err
			}
			t := c.table()
			t.line("%s: %d files of %s", name, b.files, orDash(strings.Join(b.asked, ", ")))
			if n := len(b.missing); n > 0 {
				t.line("%d answers could not be had: errors.txt in it says why", n)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&values, "values", false, "leave the values of keys in commits and timers")
	cmd.Flags().StringVar(&launcher, "launcher", "", "address of the launcher, for its nodes and their logs")
	return cmd
}

// bundle is one that is being written.
type bundle struct {
	*connection
	at      time.Time
	values  bool
	tar     *tar.Writer
	files   int
	asked   []string // nodes that answered
	missing []string
}

func (b *bundle) write(ctx context.Context, w io.Writer, launcher string) error {
	z := gzip.NewWriter(w)
	b.tar = tar.NewWriter(z)
	if err := b.gather(ctx, launcher); err != nil {
		return err
	}
	if len(b.missing) > 0 {
		if err := b.add("errors.txt", []byte(strings.Join(b.missing, "\n")+"\n")); err != nil {
			return err
		}
	}
	return errors.Join(b.tar.Close(), z.Close())
}

func (b *bundle) gather(ctx context.Context, launcher string) error {
	if err := b.add("dvr-version.txt", []byte(version()+"\n")); err != nil {
		return err
	}
	endpoints := slices.Clone(b.endpoints)
	for _, m := range list(b.body(b.ask(ctx, b.endpoints, "v1/cluster/members", nil)), "members") {
		if api, ok := member(m, "api").(string); ok && api != "" && !slices.Contains(endpoints, api) {
			endpoints = append(endpoints, api)
		}
	}
	for _, e := range endpoints {
		dir := "nodes/" + fileName(e) + "/"
		for i, path := range nodeAnswers {
			raw := b.ask(ctx, []string{e}, path, nil)
			if raw == nil && i == 0 && !b.answers(ctx, e) {
				break // nobody is there: once is enough
			}
			if err := b.put(dir+fileName(path), raw); err != nil {
				return err
			}
		}
	}
	from := endpoints
	if !b.vouched(from) {
		from = b.endpoints
	}
	for _, path := range clusterAnswers {
		if err := b.put("cluster/"+fileName(strings.TrimPrefix(path, "v1/")), b.ask(ctx, from, path, nil)); err != nil {
			return err
		}
	}
	if err := b.commits(ctx, from); err != nil {
		return err
	}
	if launcher == "" {
		return nil
	}
	return b.logs(ctx, launcher)
}

// vouched: a token may be sent there. Without TLS whoever got an address into the
// list of members would be sent it, so it goes where the caller said alone.
func (b *bundle) vouched(endpoints []string) bool {
	return !b.connection.files.None() || !slices.ContainsFunc(endpoints, func(e string) bool { return !slices.Contains(b.endpoints, e) })
}

// answers tells whether anybody is at an endpoint, and notes who.
func (b *bundle) answers(ctx context.Context, endpoint string) bool {
	before := len(b.missing)
	there := b.ask(ctx, []string{endpoint}, "livez", nil) != nil
	b.missing = b.missing[:before]
	return there
}

// commits are the newest.
func (b *bundle) commits(ctx context.Context, endpoints []string) error {
	raw := b.ask(ctx, endpoints, "v1/status", nil)
	if raw == nil {
		return nil
	}
	query := url.Values{"limit": {strconv.Itoa(bundleCommits)}}
	if newest := count(member(b.body(raw), "revision")); newest > bundleCommits {
		query.Set("after", strconv.FormatInt(newest-bundleCommits, 10))
	}
	return b.put("cluster/commits.json", b.ask(ctx, endpoints, "v1/commits", query))
}

// body is an answer's document; nil: there is none.
func (b *bundle) body(raw []byte) any {
	body, err := decode(raw)
	if err != nil {
		return nil // no answer: ask lets nothing through that is no JSON
	}
	return body
}

// withoutValues is a JSON answer with the values of keys replaced by their
// lengths, wherever in it events stand; one that has none is left as it is.
func withoutValues(raw []byte) ([]byte, error) {
	body, err := decode(raw)
	if err != nil {
		return nil, err
	}
	found := false
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if value, ok := v["value"].(string); ok && v["kind"] == "key.put" {
				v["value"] = fmt.Sprintf("(%d bytes)", len(value))
				found = true
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(body)
	if !found {
		return raw, nil
	}
	return json.MarshalIndent(body, "", " ")
}

// logs are the launcher's view and what its processes printed last.
func (b *bundle) logs(ctx context.Context, launcher string) error {
	raw := b.ask(ctx, []string{launcher}, "api/control/nodes", nil)
	if err := b.put("launcher/nodes.json", raw); raw == nil || err != nil {
		return err
	}
	var nodes map[string]struct {
		DataPlane json.RawMessage `json:"data_plane"`
	}
	if err := json.Unmarshal(raw, &nodes); err != nil {
		b.missing = append(b.missing, launcher+": no launcher: "+err.Error())
		return nil
	}
	for id, n := range nodes {
		for _, of := range []string{"node", "dataplane"} {
			if of == "dataplane" && n.DataPlane == nil {
				continue
			}
			raw := b.ask(ctx, []string{launcher}, "api/control/logs/"+url.PathEscape(id), url.Values{"lines": {strconv.Itoa(bundleLines)}, "of": {of}})
			if err := b.put("launcher/"+fileName(id)+"-"+of+".log", raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// askTime is what one answer gets. A node that is not well is asked again until
// then, as the client does it; there may be many.
const askTime = 3 * time.Second

// textual tells whether an answer is text; any other is JSON.
func textual(path string) bool {
	return path == "metrics" || strings.HasPrefix(path, "api/control/logs/")
}

// ask gets an answer, without the values of keys unless they are asked for; nil:
// it is noted why there is none. What should be JSON and is not is none: it is
// not of a node, and values could not be taken out of it.
func (b *bundle) ask(ctx context.Context, endpoints []string, path string, query url.Values) []byte {
	ctx, cancel := context.WithTimeout(ctx, min(askTime, b.timeout))
	defer cancel()
	note := func(err error) []byte {
		b.missing = append(b.missing, fmt.Sprintf("%s /%s: %v", strings.Join(endpoints, ","), path, err))
		return nil
	}
	cl, err := b.client(endpoints, "")
	if err != nil {
		return note(err)
	}
	if !b.vouched(endpoints) {
		cl.Token = ""
	}
	answer, err := cl.Do(ctx, client.Call{Method: http.MethodGet, Path: "/" + path, Query: query}, nil)
	var raw []byte
	var p *client.Problem
	switch {
	case errors.As(err, &p) && json.Valid(p.Body): // a node that is not well says so with 503
		note(err)
		raw = p.Body
	case err != nil:
		return note(err)
	case !textual(path) && !json.Valid(answer.Body):
		return note(fmt.Errorf("%d bytes that are not JSON: is it a node?", len(answer.Body)))
	default:
		raw = answer.Body
		if len(endpoints) == 1 && path == "health" {
			b.asked = append(b.asked, endpoints[0])
		}
	}
	if b.values || !json.Valid(raw) {
		return raw
	}
	if raw, err = withoutValues(raw); err != nil {
		return note(err)
	}
	return raw
}

// put adds an answer, and nothing where there is none.
func (b *bundle) put(name string, raw []byte) error {
	if raw == nil {
		return nil
	}
	if !strings.Contains(name[strings.LastIndexByte(name, '/'):], ".") {
		name += ".txt"
		if json.Valid(raw) {
			name = strings.TrimSuffix(name, ".txt") + ".json"
		}
	}
	return b.add(name, raw)
}

func (b *bundle) add(name string, raw []byte) error {
	b.files++
	h := &tar.Header{Name: "dvr-support/" + name, Mode: 0o600, Size: int64(len(raw)), ModTime: b.at, Format: tar.FormatPAX}
	if err := b.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(b.tar, bytes.NewReader(raw))
	return err
}

// fileName is a name without what a path or a file system makes something of.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, s)
}
