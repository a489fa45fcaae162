package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func watchCommand(c *connection) *cobra.Command {
	var kinds, router, within, prefix, after string
	cmd := &cobra.Command{
		Use: "watch", Short: "Print what happens as it happens (Ctrl-C ends)", Args: cobra.NoArgs,
		Example: "  dvr watch\n  dvr watch --kinds routes,topology --router r1 --within 10.0.0.0/8\n  dvr watch --kinds fib --router r1 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.open()
			if err != nil {
				return err
			}
			call := client.Call{Method: http.MethodGet, Path: "/v1/watch", Query: filters("kinds", kinds, "router", router, "within", within, "prefix", prefix, "after", after)}
			err = cl.Events(cmd.Context(), call, c.timeout, c.watched)
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&kinds, "kinds", "commits", "some of commits, routes, topology, kv, fib, dataplanes, nodes")
	f.StringVar(&router, "router", "", "only what concerns this router")
	f.StringVar(&within, "within", "", "only destinations inside this prefix")
	f.StringVar(&prefix, "prefix", "", "only keys that begin with this")
	f.StringVar(&after, "after", "", "begin after this revision or position (default: now)")
	return cmd
}

// document decodes a message of a watch and, unless tables are wanted, prints it
// as a document of its own: done.
func (c *connection) document(e client.Event) (body any, done bool, err error) {
	if body, err = decode(e.Data); err != nil {
		return nil, false, err
	}
	switch c.output {
	case "json": // a line each
		_, err = fmt.Fprintf(c.out, "{\"event\":%q,%s\n", e.Kind, bytes.TrimPrefix(e.Data, []byte("{")))
		return body, true, err
	case "yaml":
		if m, ok := body.(map[string]any); ok {
			m["event"] = e.Kind
		}
		if _, err = io.WriteString(c.out, "---\n"); err == nil {
			err = c.print(nil, body, nil)
		}
		return body, true, err
	}
	return body, false, nil
}

// watched prints a message of a watch.
func (c *connection) watched(e client.Event) error {
	body, done, err := c.document(e)
	if done || err != nil {
		return err
	}
	t := c.table()
	head := func() string {
		return text(member(body, "revision")) + "  " + text(member(body, "time")) + "  " + text(member(body, "actor"))
	}
	switch e.Kind {
	case "commits":
		t.row(head(), plural(member(body, "n"), "event"), member(body, "reason"))
	case "fib":
		t.line("%s  FIB of %s", text(member(body, "revision")), text(member(body, "router")))
		for _, k := range list(body, "changes") {
			t.line("  %s %s", markOf(k), changeText(k))
		}
	case "dataplanes", "nodes":
		t.row(e.Kind, statusText(body))
	case "told": // for programs that watch again
	default:
		for _, event := range list(body, "events") {
			t.row(head(), summary(map[string]any{"events": []any{event}, "n": member(body, "n")}), member(body, "reason"))
		}
	}
	return t.flush()
}

// markOf is the sign of a change.
func markOf(change any) string {
	switch text(member(change, "change")) {
	case "added":
		return "+"
	case "removed":
		return "-"
	}
	return "~"
}

// statusText is a data plane or node in one line.
func statusText(body any) string {
	name := member(body, "router")
	if name == nil {
		name = member(body, "node_id")
	}
	line := text(name)
	if member(body, "gone") == true {
		return line + " gone"
	}
	for _, m := range []struct{ key, yes, no string }{
		{"connected", "connected", "not connected"}, {"digest_equal", "in sync", "not in sync"}, {"deviates", "deviates", ""},
		{"online", "online", "offline"}, {"leader", "leads", ""},
	} {
		switch v := member(body, m.key); {
		case v == true:
			line += " " + m.yes
		case v == false && m.no != "":
			line += " " + m.no
		}
	}
	if p := member(body, "position"); p != nil {
		line += " revision " + text(member(p, "revision"))
	}
	if n := count(member(body, "failed")); n > 0 {
		line += fmt.Sprintf(" %d failed", n)
	}
	return line
}
