package cli

import (
	"bufio"
	"bytes"
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

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// commitCommand is `dvr commit FILE`.
func commitCommand(c *connection) *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use: "commit FILE|-", Short: "Make one commit of the events in a file, for any routers", Args: cobra.ExactArgs(1),
		Long: "Make one commit of the events in a file: all or nothing, visible at once. The file is the object of\n" +
			"POST /v1/commits, {\"events\":[…]}, or one event a line, as the log has them:\n\n" +
			"  {\"kind\":\"route.announced\",\"router\":\"r1\",\"destination\":\"10.1.0.0/16\",\"next_hop\":\"192.0.2.1\"}\n" +
			"  {\"kind\":\"link.set\",\"a\":\"r1\",\"b\":\"r2\",\"cost_ab\":10,\"cost_ba\":10}",
		Example: "  dvr commit change.json --dry-run\n  dvr commit change.json --confirm-within 60s --reason 'new upstream'\n  dvr confirm 4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := commitBody(args[0], c.in)
			if err != nil {
				return usageError{err}
			}
			var out any
			answer, err := c.call(cmd.Context(), m.call(http.MethodPost, "/v1/commits", nil, body, c.timeout), &out)
			if err != nil {
				return err
			}
			return changed(c, &m, answer, out)
		},
	}
	m.bind(cmd)
	return cmd
}

// commitBody reads the object of POST /v1/commits, or makes it of lines.
func commitBody(name string, stdin io.Reader) ([]byte, error) {
	raw, err := readInput(name, stdin)
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) == nil && object["kind"] == nil {
		return raw, nil
	}
	var body bytes.Buffer
	body.WriteString(`{"events":[`)
	n := 0
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 4<<20)
	for at := 1; lines.Scan(); at++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if !json.Valid(line) {
			return nil, fmt.Errorf("%s: line %d is not a JSON object", name, at)
		}
		if n++; n > 1 {
			body.WriteByte(',')
		}
		body.Write(line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%s holds no event", name)
	}
	body.WriteString("]}")
	return body.Bytes(), nil
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// confirmCommand is `dvr confirm [REVISION]`.
func confirmCommand(c *connection) *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use: "confirm [REVISION]", Short: "Keep a commit that would undo itself; without REVISION, list those that wait", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("at") {
					return usageError{errors.New("--at is of the list: a commit is confirmed now")}
				}
				return c.change(cmd, &m, http.MethodPost, "/v1/commits/"+url.PathEscape(args[0])+"/confirm", nil, nil)
			}
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/confirmations", Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("COMMIT", "CONFIRM BY", "CHANGES")
				for _, k := range list(body, "confirmations") {
					t.row(member(k, "commit"), member(k, "confirm_by"), member(k, "changes"))
				}
			})
		},
	}
	m.bindFixed(cmd)
	c.pastFlag(cmd)
	return cmd
}

// rollbackCommand is `dvr rollback`.
func rollbackCommand(c *connection) *cobra.Command {
	var m mutation
	var to uint32
	var actor, tag, router, within, since string
	cmd := &cobra.Command{
		Use: "rollback [COMMIT…]", Short: "Take commits back by a new one", Args: cobra.ArbitraryArgs,
		Long: "Take back the named commits, all since a revision (--to), or what matches a filter since some point.\n" +
			"What other commits changed since is listed and nothing is done; --dry-run shows what would be.",
		Example: "  dvr rollback 4711 --dry-run\n  dvr rollback --to 4700\n  dvr rollback --actor bob --since 2h",
		RunE: func(cmd *cobra.Command, args []string) error {
			o := map[string]any{}
			var commits []uint64
			for _, a := range args {
				n, err := strconv.ParseUint(a, 10, 63)
				if err != nil {
					return usageError{fmt.Errorf("%q is not a revision", a)}
				}
				commits = append(commits, n)
			}
			ways, filter := 0, actor+tag+router+within != ""
			for _, given := range []bool{len(commits) > 0, to > 0, filter} {
				if given {
					ways++
				}
			}
			if ways != 1 || filter != (since != "") {
				return usageError{howTo(cmd, errors.New("say what is taken back: commits, or --to, or --since with --actor, --tag, --router or --within"))}
			}
			if len(commits) > 0 {
				o["commits"] = commits
			}
			if to > 0 {
				o["to"] = to
			}
			for k, v := range map[string]string{"actor": actor, "tag": tag, "router": router, "within": within} {
				if v != "" {
					o[k] = v
				}
			}
			if n, err := strconv.ParseUint(since, 10, 63); err == nil {
				o["since"] = n
			} else if since != "" {
				o["since"] = since
			}
			filtered := actor+tag+router+within != ""
			whole := 0
			for _, chosen := range []bool{len(commits) > 0, to > 0, filtered} {
				if chosen {
					whole++
				}
			}
			if whole != 1 || filtered != (since != "") {
				return usageError{howTo(cmd, errors.New("say what is taken back: commits, or --to, or what matches --actor, --tag, --router or --within and came after --since"))}
			}
			err := c.change(cmd, &m, http.MethodPost, "/v1/rollback", nil, o)
			c.conflicts(err)
			return err
		},
	}
	f := cmd.Flags()
	numberVar(f, &to, "to", 0, 1, 1<<32-1, "revision whose state is restored")
	f.StringVar(&actor, "actor", "", "what this actor committed (with --since)")
	f.StringVar(&tag, "tag", "", "what was set with this tag (with --since)")
	f.StringVar(&router, "router", "", "what is about this router (with --since)")
	f.StringVar(&within, "within", "", "routes to destinations inside this prefix (with --since)")
	f.StringVar(&since, "since", "", "a revision, a time such as 2026-11-22T03:00:00Z, or how long ago, such as 2h")
	m.bind(cmd)
	return cmd
}

// conflicts prints the items that keep a rollback from being done.
func (c *connection) conflicts(err error) {
	p := problemOf(err)
	if p == nil || c.output != "table" { // a document has them
		return
	}
	body, decodeErr := decode(p.Body)
	if decodeErr != nil || len(list(body, "conflicts")) == 0 {
		return
	}
	t := newTable(c.errOut)
	t.head("CANNOT BE TAKEN BACK", "COMMIT", "OF", "WHICH")
	for _, x := range list(body, "conflicts") {
		which := map[string]string{"unconfirmed": "made it what would be restored, and is not confirmed", "overlaid": "made it so for a while, over another lifetime"}[text(member(x, "cause"))]
		if which == "" {
			which = "changed it since"
		}
		t.row(itemName(member(x, "event")), member(x, "commit"), member(x, "actor"), which)
	}
	if more := count(member(body, "conflict_count")) - int64(len(list(body, "conflicts"))); more > 0 {
		t.line("… and %d more", more)
	}
	_ = t.flush() // the error that follows says that it failed
}

// policyCommand is `dvr guard` or `dvr freeze`: set, list, remove.
func policyCommand(c *connection, word, path string, set *cobra.Command) *cobra.Command {
	plural := strings.TrimPrefix(path, "/v1/")
	cmd := &cobra.Command{Use: word, Short: "Set, list and remove " + plural, Args: cobra.NoArgs}
	var m mutation
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Remove it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &m, http.MethodDelete, path+"/"+url.PathEscape(args[0]), nil, nil)
		},
	}
	m.bind(remove)
	cmd.AddCommand(set, remove, storedList(c, path, plural))
	return cmd
}

// storedList lists items that the log holds.
func storedList(c *connection, path, plural string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "All " + plural, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: path, Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("NAME", "WHAT", "REVISION")
				for _, g := range list(body, plural) {
					e := member(g, "event")
					t.row(member(e, "name"), strings.TrimSpace(strings.TrimPrefix(itemAttributes(e, nil), itemName(e))), member(g, "revision"))
				}
			})
		},
	}
	c.pastFlag(cmd)
	return cmd
}

func approveCommand(c *connection) *cobra.Command {
	var wait, require, key, reason string
	cmd := &cobra.Command{
		Use: "approve [NAME]", Short: "Do what another actor proposed (--propose); without NAME, list what waits", Args: cobra.MaximumNArgs(1),
		Long:    "Do what another actor proposed; without NAME list the proposals that wait. dvr timer cancel NAME rejects one.",
		Example: "  dvr approve\n  dvr approve proposal-0f3c9a1b2d4e5f607182\n  dvr approve proposal-0f3c9a1b2d4e5f607182 --wait installed",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.proposals(cmd)
			}
			m := mutation{wait: wait, require: require, key: key, reason: reason}
			return c.change(cmd, &m, http.MethodPost, "/v1/timers/"+url.PathEscape(args[0])+"/approve", nil, nil)
		},
	}
	f := cmd.Flags()
	f.StringVar(&wait, "wait", "", "answer when logged, projected (default) or installed")
	f.StringVar(&require, "require", "", "routers that must have installed it, comma-separated")
	f.StringVar(&key, "idempotency-key", "", "repeat a change safely under the same key")
	f.StringVar(&reason, "reason", "", "why, as kept in the log")
	return cmd
}

// proposals lists the timers that wait for a second actor.
func (c *connection) proposals(cmd *cobra.Command) error {
	var body map[string]any
	if _, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/timers"}, &body); err != nil {
		return err
	}
	waiting := slices.DeleteFunc(list(body, "timers"), func(t any) bool { return text(member(member(t, "event"), "proposer")) == "-" })
	body["timers"] = append([]any{}, waiting...) // a list, also of none
	return c.printObject(body, func(t *table, body any) {
		t.head("NAME", "BY", "LAPSES", "WHAT", "REVISION")
		for _, p := range list(body, "timers") {
			e := member(p, "event")
			t.row(member(e, "name"), member(e, "proposer"), member(e, "at"), eventNames(member(e, "events")), member(p, "revision"))
		}
	})
}

func guardCommand(c *connection) *cobra.Command {
	var m mutation
	var prefixes, routers []string
	var actor, origin string
	var percent, above, limit uint32
	set := &cobra.Command{
		Use: "set NAME protected|max_shrink|max_routes|needs_approval", Short: "Set a guard rail", Args: cobra.ExactArgs(2),
		Example: "  dvr guard set core protected --prefix 10.0.0.0/8\n  dvr guard set shrink max_shrink --percent 10 --above 100\n  dvr guard set bgp max_routes --origin bgp --limit 1000000",
		RunE: func(cmd *cobra.Command, args []string) error {
			o := map[string]any{"type": args[1]}
			for k, v := range map[string][]string{"prefixes": prefixes, "routers": routers} {
				if len(v) > 0 {
					o[k] = v
				}
			}
			for k, v := range map[string]uint32{"percent": percent, "above": above, "limit": limit} {
				if v > 0 {
					o[k] = v
				}
			}
			for k, v := range map[string]string{"actor": actor, "origin": origin} {
				if v != "" {
					o[k] = v
				}
			}
			return c.change(cmd, &m, http.MethodPut, "/v1/guards/"+url.PathEscape(args[0]), nil, o)
		},
	}
	f := set.Flags()
	f.StringSliceVar(&prefixes, "prefix", nil, "protected, needs_approval: destinations inside, repeatable")
	f.StringSliceVar(&routers, "router", nil, "only of this router, repeatable")
	f.StringVar(&actor, "actor", "", "max_routes: only commits of this actor; without --origin the routes that it set last are counted")
	f.StringVar(&origin, "origin", "", "max_routes: only routes of this origin are counted")
	numberVar(f, &percent, "percent", 0, 1, 100, "max_shrink: by so much a table may shrink in one commit")
	numberVar(f, &above, "above", 0, 0, 1<<32-1, "max_shrink: only tables of more prefixes")
	numberVar(f, &limit, "limit", 0, 1, 1<<32-1, "max_routes: so many at most")
	m.bind(set)
	return policyCommand(c, "guard", "/v1/guards", set)
}

func freezeCommand(c *connection) *cobra.Command {
	var m mutation
	var prefixes, routers []string
	var from, until string
	var all bool
	set := &cobra.Command{
		Use: "set NAME", Short: "Forbid changes of routes, routers and links, of all or of those named", Args: cobra.ExactArgs(1),
		Long: "Forbid changes: of what --prefix and --router name, or with --all of every route, router and link,\n" +
			"until --until or dvr freeze remove NAME. A change by --force --reason passes.",
		Example: "  dvr freeze set weekend --all --from 2026-11-27T17:00:00Z --until 2026-11-30T06:00:00Z\n  dvr freeze set core --router r1 --router r2",
		RunE: func(cmd *cobra.Command, args []string) error {
			if named := len(prefixes)+len(routers) > 0; named == all {
				return usageError{howTo(cmd, errors.New("say what is frozen: --prefix or --router, or --all for every route, router and link"))}
			}
			o := map[string]any{}
			if all {
				o["all"] = true
			}
			for k, v := range map[string][]string{"prefixes": prefixes, "routers": routers} {
				if len(v) > 0 {
					o[k] = v
				}
			}
			for k, v := range map[string]string{"from": from, "until": until} {
				if v != "" {
					o[k] = v
				}
			}
			return c.change(cmd, &m, http.MethodPut, "/v1/freezes/"+url.PathEscape(args[0]), nil, o)
		},
	}
	f := set.Flags()
	f.BoolVar(&all, "all", false, "every route, router and link")
	f.StringSliceVar(&prefixes, "prefix", nil, "only destinations inside this prefix, repeatable")
	f.StringSliceVar(&routers, "router", nil, "only this router, its routes and links, repeatable")
	f.StringVar(&from, "from", "", "begin, RFC 3339 (default: at once)")
	f.StringVar(&until, "until", "", "end, RFC 3339 (default: until it is removed)")
	m.bind(set)
	return policyCommand(c, "freeze", "/v1/freezes", set)
}

func timerCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "timer", Short: "List and cancel scheduled changes and lifetimes", Args: cobra.NoArgs}
	var m mutation
	remove := &cobra.Command{
		Use: "cancel NAME", Aliases: []string{"delete", "remove", "rm"}, Short: "Cancel it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &m, http.MethodDelete, "/v1/timers/"+url.PathEscape(args[0]), nil, nil)
		},
	}
	m.bind(remove)
	cmd.AddCommand(remove, storedList(c, "/v1/timers", "timers"))
	return cmd
}
