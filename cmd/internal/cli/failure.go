package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// documents is what of this the help says.
const documents = `With -o json or yaml what goes wrong is a document on standard error, too: the API's problem (RFC 9457), or one
in its form, with exit_code, and with advice and endpoint where there are any. Notices before it are {"notice": …}.`

// failureKinds are the problems (RFC 9457) that no API answered, by exit code.
var failureKinds = map[int]struct{ word, title string }{
	ExitUsage:       {"usage", "Wrong usage"},
	ExitUnavailable: {"unreachable", "Unavailable"},
	ExitAway:        {"away", "Data planes are away"},
	ExitRemoved:     {"removed", "This node was removed from its cluster"},
	ExitRefused:     {"refused", "This node must not start as it is"},
	ExitDamaged:     {"export-damaged", "The export is not what was written"},
	ExitIncomplete:  {"export-incomplete", "The export lacks commits"},
	ExitDisorder:    {"export-out-of-order", "The export's commits are out of order"},
	ExitOtherLog:    {"export-of-another-log", "The export is of another log"},
	ExitParted:      {"export-of-another-history", "The cluster's log holds another history"},
	ExitFailure:     {"failed", "Failed"},
}

// reportFailure writes what a command failed with: as text, or in JSON or YAML
// as one document, which is the problem that the API answered, or one in its form,
// with the exit code, the node that answered and what to do besides.
func reportFailure(w io.Writer, output string, err error) {
	if output != "json" && output != "yaml" {
		fmt.Fprintln(w, "dvr: "+message(err))
		return
	}
	detail, advice, _ := strings.Cut(message(err), "\n")
	code := ExitCode(err)
	var members [][]byte
	add := func(name string, v any) {
		raw, _ := json.Marshal(v) // texts and numbers always can be
		members = append(members, fmt.Appendf(nil, "%q:%s", name, raw))
	}
	p := problemOf(err)
	if p != nil && isObject(p.Body) {
		whole := bytes.TrimSpace(p.Body)
		members = append(members, bytes.TrimSpace(whole[1:len(whole)-1]))
	} else {
		kind := failureKinds[code]
		if kind.word == "" {
			kind = failureKinds[ExitFailure]
		}
		add("type", "/problems/"+kind.word)
		add("title", kind.title)
		if p != nil { // somebody answered who is no node
			add("status", p.Status)
		}
		add("detail", detail)
		add("error", detail)
	}
	if advice != "" {
		add("advice", advice)
	}
	if p != nil && p.Endpoint != "" {
		add("endpoint", p.Endpoint)
	}
	add("exit_code", code)
	writeDocument(w, output, fmt.Appendf(nil, "{%s}", bytes.Join(members, []byte{','})), true)
}

// isObject: raw is a JSON object that holds something.
func isObject(raw []byte) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && len(m) > 0
}

// writeDocument writes JSON, on lines of its own where it is to be spread, or as
// a document of YAML. Nobody could be told that it cannot be written.
func writeDocument(w io.Writer, output string, raw []byte, spread bool) {
	body, err := decode(raw)
	if output == "yaml" && err == nil {
		if text, err := yaml.Marshal(numbers(body)); err == nil {
			_, _ = fmt.Fprintf(w, "---\n%s", text)
			return
		}
	}
	var b bytes.Buffer
	if !spread || json.Indent(&b, raw, "", "  ") != nil {
		b.Reset()
		b.Write(raw)
	}
	b.WriteByte('\n')
	_, _ = w.Write(b.Bytes())
}

// notice tells something beside the answer: as a line, or where the output is a
// document as {"notice":…}.
func (c *connection) notice(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if c.output != "json" && c.output != "yaml" {
		fmt.Fprintln(c.errOut, "dvr: "+text)
		return
	}
	raw, _ := json.Marshal(map[string]string{"notice": text})
	writeDocument(c.errOut, c.output, raw, false)
}

// outputOf is the last --output among the arguments, well formed or not: of a
// command that was not understood nothing else tells it.
func outputOf(args []string) (output string) {
	for i, a := range args {
		if a == "--" {
			break
		}
		for _, name := range []string{"--output=", "-o=", "-o"} {
			if v, ok := strings.CutPrefix(a, name); ok && v != "" {
				output = v
				break
			}
		}
		if (a == "-o" || a == "--output") && i+1 < len(args) {
			output = args[i+1]
		}
	}
	return output
}
