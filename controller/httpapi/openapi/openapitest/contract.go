// Package openapitest holds a server's answers to the API's description. It is
// for tests.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"dvr/controller/httpapi/openapi"
)

// Contract is the description, read strictly: what it does not say may not be
// in an answer. It is safe for concurrent use.
type Contract struct {
	doc        map[string]any
	operations []*Operation
	mu         sync.Mutex // of what follows
	compiler   *jsonschema.Compiler
	compiled   map[string]*jsonschema.Schema
}

// Operation is a call as it is described.
type Operation struct {
	ID, Method, Path string
	Launcher         bool // it is the launcher's, not a node's
	Parameters       []Parameter
	// Body is an example of the request's body and BodyType its media type;
	// empty: none is described.
	Body, BodyType string

	segments  []string
	pointer   string // into the document
	object    map[string]any
	responses map[string]any
}

// Parameter of an operation.
type Parameter struct {
	Name, In string // path, query, header
	Required bool
	Example  string // empty: none

	pointer string
}

const resource = "https://dvr.invalid/openapi.json"

// Load reads the description that is in the program.
func Load() (*Contract, error) { return Read(openapi.JSON()) }

// Read reads a description in JSON.
func Read(text []byte) (*Contract, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := &Contract{doc: v.(map[string]any), compiled: map[string]*jsonschema.Schema{}, compiler: jsonschema.NewCompiler()}
	if err := c.readOperations(); err != nil {
		return nil, err
	}
	closeSchemas(c.doc)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource(resource, v)
}

// readOperations finds the calls, in order of path and method.
func (c *Contract) readOperations() error {
	paths := c.doc["paths"].(map[string]any)
	for path, item := range paths {
		item := item.(map[string]any)
		common, _ := item["parameters"].([]any)
		for method, o := range item {
			if !slices.Contains([]string{"get", "put", "post", "delete"}, method) {
				continue
			}
			object := o.(map[string]any)
			op := &Operation{
				Method: strings.ToUpper(method), Path: path, Launcher: strings.HasPrefix(path, "/api/"), segments: strings.Split(path, "/"),
				pointer: pointer("paths", path, method), object: object,
			}
			op.ID, _ = object["operationId"].(string)
			op.responses, _ = object["responses"].(map[string]any)
			own, _ := object["parameters"].([]any)
			for i, p := range append(slices.Clone(common), own...) {
				at := pointer("paths", path, "parameters", strconv.Itoa(i))
				if i >= len(common) {
					at = op.pointer + pointer("parameters", strconv.Itoa(i-len(common)))
				}
				q, at, err := c.resolve(p.(map[string]any), at)
				if err != nil {
					return err
				}
				parameter := Parameter{Name: q["name"].(string), In: q["in"].(string), pointer: at + "/schema"}
				parameter.Required, _ = q["required"].(bool)
				if e, ok := q["example"]; ok {
					parameter.Example = fmt.Sprint(e)
				}
				op.Parameters = append(op.Parameters, parameter)
			}
			if err := c.readBody(op); err != nil {
				return err
			}
			c.operations = append(c.operations, op)
		}
	}
	slices.SortFunc(c.operations, func(a, b *Operation) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return nil
}

func (c *Contract) readBody(op *Operation) error {
	body, ok := op.object["requestBody"].(map[string]any)
	if !ok {
		return nil
	}
	body, _, err := c.resolve(body, "")
	if err != nil {
		return err
	}
	for kind, m := range body["content"].(map[string]any) {
		op.BodyType = kind
		switch e := m.(map[string]any)["example"].(type) {
		case nil:
		case string:
			op.Body = e
		default:
			raw, err := json.Marshal(e)
			if err != nil {
				return err
			}
			op.Body = string(raw)
		}
	}
	return nil
}

// resolve follows a reference within the document.
func (c *Contract) resolve(o map[string]any, at string) (map[string]any, string, error) {
	ref, ok := o["$ref"].(string)
	if !ok {
		return o, at, nil
	}
	at, ok = strings.CutPrefix(ref, "#")
	if !ok {
		return nil, "", fmt.Errorf("%s is not within the document", ref)
	}
	var v any = c.doc
	for token := range strings.SplitSeq(at[1:], "/") {
		m, ok := v.(map[string]any)
		if !ok || m[token] == nil {
			return nil, "", fmt.Errorf("%s refers to nothing", ref)
		}
		v = m[token]
	}
	return v.(map[string]any), at, nil
}

// Document is the description, read.
func (c *Contract) Document() map[string]any { return c.doc }

// Operations are all calls, in order of path and method.
func (c *Contract) Operations() []*Operation { return c.operations }

// Responses are the codes that are described, "default" among them.
func (o *Operation) Responses() []string {
	var out []string
	for code := range o.responses {
		out = append(out, code)
	}
	slices.Sort(out)
	return out
}

// Target is the path of a request with the examples of its parameters, and a
// query of those that are required.
func (o *Operation) Target() string {
	path, query := o.Path, url.Values{}
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.Replace(path, "{"+p.Name+"}", p.Example, 1)
		case p.In == "query" && p.Required:
			query.Set(p.Name, p.Example)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// Find is the call that a request is, nil where it is none that is described.
func (c *Contract) Find(method, path string) *Operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	var best *Operation
	for _, o := range c.operations {
		if o.Method == method && o.matches(segments) && (best == nil || strings.Count(o.Path, "{") < strings.Count(best.Path, "{")) {
			best = o
		}
	}
	return best
}

// openEnded are the parameters that take the rest of a path.
var openEnded = []string{"{destination}", "{key}", "{path}"}

func (o *Operation) matches(segments []string) bool {
	last := len(o.segments) - 1
	open := slices.Contains(openEnded, o.segments[last])
	if len(segments) < len(o.segments) || len(segments) > len(o.segments) && !open {
		return false
	}
	for i, s := range o.segments {
		if s != segments[i] && !strings.HasPrefix(s, "{") {
			return false
		}
	}
	return true
}

// pointer is a JSON pointer to a member.
func pointer(tokens ...string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}

// schema compiles the schema at a pointer.
func (c *Contract) schema(at string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.compiled[at]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(resource + "#" + (&url.URL{Path: at}).EscapedPath())
	if err == nil {
		c.compiled[at] = s
	}
	return s, err
}

// validate holds a JSON text to the schema at a pointer.
func (c *Contract) validate(at string, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.validateValue(at, v)
}

func (c *Contract) validateValue(at string, v any) error {
	s, err := c.schema(at)
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func media(header string) string {
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		return header
	}
	return t
}
