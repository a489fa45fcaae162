package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/eventlog"
)

func kvCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "kv", Short: "The key-value store: put, get, delete, list, watch, history", Args: cobra.NoArgs}
	cmd.AddCommand(kvPut(c), kvGet(c), kvDelete(c), kvList(c), kvWatch(c), kvHistory(c))
	return cmd
}

func keyPath(base, key string) string { return base + url.PathEscape(key) }

func kvPut(c *connection) *cobra.Command {
	var m mutation
	var file string
	var absent bool
	cmd := &cobra.Command{
		Use: "put KEY [VALUE]", Short: "Set a key; without VALUE from a file or standard input, byte for byte", Args: cobra.RangeArgs(1, 2),
		Example: "  dvr kv put site/name 'core 1'\n  dvr kv put config --file config.json\n  hostname | tr -d '\\n' | dvr kv put host",
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := keyValue(c, args[1:], file)
			if err != nil {
				return err
			}
			body, err := json.Marshal(map[string]string{"value": value})
			if err != nil {
				return err
			}
			call := m.call(http.MethodPut, keyPath("/kv/", args[0]), nil, body, c.timeout)
			if absent {
				call.Header.Set("If-None-Match", "*")
			}
			err = c.keyChanged(cmd, call, func(any) string { return "set" })
			if err != nil && absent {
				return advised{err, "The key is there already."}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "read the value from this file, - for standard input")
	cmd.Flags().BoolVar(&absent, "if-absent", false, "only if the key is not there")
	m.bind(cmd)
	return cmd
}

// keyValue is the value from the argument, the file or standard input.
func keyValue(c *connection, args []string, file string) (string, error) {
	if len(args) == 1 {
		if file != "" {
			return "", usageError{errors.New("the value is given twice, as argument and by --file")}
		}
		return args[0], text8(args[0])
	}
	in := c.in
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usageError{err}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, eventlog.MaxValue+1))
	if err != nil {
		return "", fmt.Errorf("read the value: %w", err)
	}
	if len(raw) > eventlog.MaxValue {
		return "", usageError{fmt.Errorf("the value is longer than %d bytes", eventlog.MaxValue)}
	}
	return string(raw), text8(string(raw))
}

// text8 refuses what JSON would silently change.
func text8(value string) error {
	if !utf8.ValidString(value) {
		return usageError{errors.New("the value is not valid UTF-8; encode binary data, say as base64")}
	}
	return nil
}

// advised is an error with what to do where a precondition failed.
type advised struct {
	error
	advice string
}

func (a advised) Unwrap() error { return a.error }

// keyChanged does a mutation of a key and prints "KEY: what at revision N".
func (c *connection) keyChanged(cmd *cobra.Command, call client.Call, what func(body any) string) error {
	var out any
	answer, err := c.call(cmd.Context(), call, &out)
	if err != nil {
		return advised{err, "It has changed since: `dvr kv get KEY --tag` gives its new tag."}
	}
	if err := c.print(answer.Body, out, func(t *table, body any) {
		key, _ := member(body, "key").(string)
		t.row(fmt.Sprintf("%s: %s at revision %s", printable(key, 0), what(body), text(member(body, "revision"))))
	}); err != nil {
		return err
	}
	if answer.Status == http.StatusAccepted {
		return errNotInstalled
	}
	return nil
}

func kvGet(c *connection) *cobra.Command {
	var tag bool
	cmd := &cobra.Command{
		Use: "get KEY", Short: "Print a key's value", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out any
			answer, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: keyPath("/kv/", args[0]), Query: filters("at", c.at)}, &out)
			if err != nil {
				return err
			}
			if tag {
				_, err := fmt.Fprintln(c.out, strings.Trim(answer.Header.Get("ETag"), `"`))
				return err
			}
			if c.output != "table" {
				return c.print(answer.Body, out, nil)
			}
			value, _ := member(out, "value").(string)
			if !strings.HasSuffix(value, "\n") {
				value += "\n"
			}
			_, err = io.WriteString(c.out, value)
			return err
		},
	}
	cmd.Flags().BoolVar(&tag, "tag", false, "print the key's ETag instead, for --if-match")
	c.pastFlag(cmd)
	return cmd
}

func revisionText(r uint64) string {
	if r == 0 {
		return ""
	}
	return strconv.FormatUint(r, 10)
}

func kvDelete(c *connection) *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use: "delete KEY", Short: "Remove a key; one that is not there is no error", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.keyChanged(cmd, m.call(http.MethodDelete, keyPath("/kv/", args[0]), nil, nil, c.timeout), func(body any) string {
				if member(body, "existed") == false {
					return "was not there"
				}
				return "deleted"
			})
		},
	}
	m.bind(cmd)
	return cmd
}

func kvList(c *connection) *cobra.Command {
	var prefix string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "All keys and their values, in order", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("prefix", prefix, "at", c.at)
			if cmd.Flags().Changed("limit") {
				q.Set("limit", strconv.Itoa(limit))
			}
			var out any
			answer, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/kv", Query: q}, &out)
			if err != nil {
				return err
			}
			return c.print(answer.Body, out, func(t *table, body any) {
				t.head("KEY", "VALUE")
				keys, _ := body.(map[string]any)
				for _, k := range sortedKeys(keys) {
					value, _ := keys[k].(string)
					t.row(printable(k, 0), printable(value, shownValue))
				}
				if answer.Header.Get("DVR-Next-Cursor") != "" {
					t.row(fmt.Sprintf("(the first %d; a higher --limit or none for more)", limit))
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&prefix, "prefix", "", "only keys that begin with this")
	f.IntVar(&limit, "limit", 0, "at most so many, up to 10,000 (default: all)")
	c.pastFlag(cmd)
	return cmd
}

// shownValue is how much of a value a table shows.
const shownValue = 60

// printable is a text for one cell: quoted where it would break the table, and
// cut to so many characters (0: not).
func printable(s string, most int) string {
	if most > 0 && utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func kvHistory(c *connection) *cobra.Command {
	var before uint64
	var limit int
	cmd := &cobra.Command{
		Use: "history KEY", Short: "The commits that changed a key, the newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usageError{errors.New("--limit must be at least 1")}
			}
			whole, next, err := c.history(cmd, args[0], before, limit)
			if err != nil {
				return err
			}
			raw, err := json.Marshal(whole)
			if err != nil {
				return err
			}
			return c.print(raw, whole, func(t *table, body any) {
				t.head("REVISION", "TIME", "ACTOR", "EVENT", "VALUE", "REASON")
				for _, h := range list(body, "changes") {
					t.row(member(h, "revision"), member(h, "time"), member(h, "actor"), member(h, "event"), cell(member(h, "value")), member(h, "reason"))
				}
				if next > 0 {
					t.row(fmt.Sprintf("(more: --before %d)", next))
				} else if b := count(member(body, "log_begins")); b > 1 {
					t.row(fmt.Sprintf("(the log begins at revision %d)", b))
				}
			})
		},
	}
	cmd.Flags().Uint64Var(&before, "before", 0, "only changes before this revision")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many")
	return cmd
}

// history follows pages until there are limit changes or no more: a page may
// be short where much lies between two changes.
func (c *connection) history(cmd *cobra.Command, key string, before uint64, limit int) (whole map[string]any, next int64, err error) {
	next = int64(before)
	var changes []any
	for {
		var page map[string]any
		q := filters("before", revisionText(uint64(next)), "limit", strconv.Itoa(min(limit-len(changes), 1000)))
		if _, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: keyPath("/v1/kv/history/", key), Query: q}, &page); err != nil {
			var p *client.Problem
			if len(changes) > 0 && errors.As(err, &p) && p.Status == http.StatusGone {
				return whole, 0, nil // the log was truncated behind what was read
			}
			return nil, 0, err
		}
		changes = append(changes, list(page, "changes")...)
		next = count(page["next"])
		whole = page
		if whole["changes"] = changes; changes == nil {
			whole["changes"] = []any{}
		}
		if next == 0 || len(changes) >= limit {
			return whole, next, nil
		}
	}
}

// cell is a value as a table shows it; absent as "-".
func cell(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	return printable(s, shownValue)
}

func kvWatch(c *connection) *cobra.Command {
	var prefix, after string
	cmd := &cobra.Command{
		Use: "watch", Short: "Print changes as they are made (Ctrl-C ends)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.open()
			if err != nil {
				return err
			}
			call := client.Call{Method: http.MethodGet, Path: "/v1/kv/watch", Query: filters("prefix", prefix, "after", after)}
			err = cl.Events(cmd.Context(), call, c.timeout, c.keyEvent)
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this")
	cmd.Flags().StringVar(&after, "after", "", "begin after this revision or position (default: now)")
	return cmd
}

// keyEvent prints one change: a line of a table, or a document.
func (c *connection) keyEvent(e client.Event) error {
	body, done, err := c.document(e)
	if done || err != nil {
		return err
	}
	key, _ := member(body, "key").(string)
	t := c.table()
	t.row(member(body, "revision"), member(body, "time"), member(body, "actor"), e.Kind, printable(key, 0), cell(member(body, "value")))
	return t.flush()
}
