package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// text is a JSON value for a reader: lists joined, objects as k=v, absent as "-".
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return legibly(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		if len(v) == 0 {
			return "-"
		}
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		if hop, ok := v["next_hop"]; ok {
			return nextHop(hop, v)
		}
		if kind, ok := v["type"].(string); ok && v["weight"] != nil {
			return kind // a next hop that leads nowhere
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		parts := make([]string, len(keys))
		for i, k := range keys {
			parts[i] = k + "=" + text(v[k])
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// legibly is s with its control characters, and what turns the direction of the
// text, written as escapes: what others stored forges no lines and moves no cursor.
func legibly(s string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) }
	if strings.IndexFunc(s, hidden) < 0 && utf8.ValidString(s) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// nextHop is "192.168.1.1 dev eth0 via r2 weight 3" as far as the members are there.
func nextHop(address any, v map[string]any) string {
	var parts []string
	if a := text(address); a != "-" { // a blackhole leads nowhere
		parts = append(parts, a)
	}
	for _, m := range []struct{ key, word string }{{"type", ""}, {"interface", "dev "}, {"via", "via "}} {
		if s, ok := v[m.key].(string); ok && s != "" && s != "unicast" {
			parts = append(parts, m.word+s)
		}
	}
	if w := text(v["weight"]); w != "-" && w != "1" {
		parts = append(parts, "weight "+w)
	}
	return strings.Join(parts, " ")
}

// member is body[key] where body is a JSON object, else nil.
func member(body any, key string) any {
	m, _ := body.(map[string]any)
	return m[key]
}

// list is body[key] as a list; an object becomes its values in key order.
func list(body any, key string) []any {
	switch v := member(body, key).(type) {
	case []any:
		return v
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		values := make([]any, len(keys))
		for i, k := range keys {
			values[i] = v[k]
		}
		return values
	}
	return nil
}

// print writes raw (json, yaml) or the table of body.
func (c *connection) print(raw []byte, body any, fill func(*table, any)) error {
	switch c.output {
	case "json":
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
			return fmt.Errorf("answer is not JSON: %w", err)
		}
		_, err := fmt.Fprintln(c.out, b.String())
		return err
	case "yaml":
		e := yaml.NewEncoder(c.out)
		e.SetIndent(2)
		if err := e.Encode(numbers(body)); err != nil {
			return err
		}
		return e.Close()
	}
	t := c.table()
	if member(body, "dry_run") == true {
		fill = previewed
	}
	fill(t, body)
	return t.flush()
}

// decode reads a JSON document with its numbers as they are written.
func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var body any
	if err := d.Decode(&body); err != nil {
		return nil, fmt.Errorf("answer is not JSON: %w", err)
	}
	return body, nil
}

// numbers gives a decoded document to YAML, which would quote a json.Number.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, _ := v.Float64() // a JSON number always is one
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = numbers(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = numbers(v[k])
		}
		return out
	}
	return v
}

// count is a JSON number as an integer, 0 where it is none.
func count(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64() // "" is none
	return i
}
