package openapi_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dvr/controller/httpapi/openapi"
	"dvr/controller/httpapi/openapi/openapitest"
)

func load(t *testing.T) *openapitest.Contract {
	t.Helper()
	c, err := openapitest.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDocument holds the document to what OpenAPI asks beyond its form.
func TestDocument(t *testing.T) {
	c := load(t)
	doc := c.Document()
	if doc["openapi"] != "3.1.0" || doc["x-short"] != nil {
		t.Errorf("openapi is %v, x-short %v", doc["openapi"], doc["x-short"])
	}
	tags := map[string]bool{}
	for _, tag := range doc["tags"].([]any) {
		tags[tag.(map[string]any)["name"].(string)] = false
	}
	ids := map[string]bool{}
	for _, o := range c.Operations() {
		if ids[o.ID] || o.ID == "" {
			t.Errorf("%s %s: operationId %q is there twice, or empty", o.Method, o.Path, o.ID)
		}
		ids[o.ID] = true
		item := doc["paths"].(map[string]any)[o.Path].(map[string]any)
		object := item[strings.ToLower(o.Method)].(map[string]any)
		if s, _ := object["summary"].(string); s == "" || strings.HasSuffix(s, ".") {
			t.Errorf("%s: summary %q", o.ID, s)
		}
		for _, tag := range object["tags"].([]any) {
			if _, ok := tags[tag.(string)]; !ok {
				t.Errorf("%s: tag %q is not described", o.ID, tag)
			}
			tags[tag.(string)] = true
		}
		if (item["servers"] != nil) != o.Launcher {
			t.Errorf("%s: servers %v", o.ID, item["servers"])
		}
		var inPath []string
		seen := map[string]bool{}
		for _, p := range o.Parameters {
			if seen[p.In+p.Name] {
				t.Errorf("%s: parameter %s is there twice", o.ID, p.Name)
			}
			seen[p.In+p.Name] = true
			if p.In == "path" {
				inPath = append(inPath, "{"+p.Name+"}")
			}
			if (p.In == "path" || p.Required) && (!p.Required || p.Example == "") {
				t.Errorf("%s: parameter %s must be required and have an example", o.ID, p.Name)
			}
		}
		if want := regexp.MustCompile(`\{\w+\}`).FindAllString(o.Path, -1); !slices.Equal(inPath, want) {
			t.Errorf("%s: parameters %v of the path %s", o.ID, inPath, o.Path)
		}
		if strings.Contains(o.BodyType, "json") && o.Body == "" {
			t.Errorf("%s: no example of its body", o.ID)
		}
		if !slices.ContainsFunc(o.Responses(), func(code string) bool { return code[0] == '2' }) {
			t.Errorf("%s: no success is described: %v", o.ID, o.Responses())
		}
	}
	for tag, used := range tags {
		if !used {
			t.Errorf("tag %s has no operation", tag)
		}
	}
}

// TestComponents: each is used, and each reference has what it names.
func TestComponents(t *testing.T) {
	doc := load(t).Document()
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	for kind, list := range doc["components"].(map[string]any) {
		for name := range list.(map[string]any) {
			ref := "#/components/" + kind + "/" + name
			if !used[ref] {
				t.Errorf("%s is not used", ref)
			}
			delete(used, ref)
		}
	}
	for ref := range used {
		t.Errorf("%s refers to nothing", ref)
	}
}

// TestExamples holds the examples to their schemas.
func TestExamples(t *testing.T) {
	n, err := load(t).CheckExamples()
	if err != nil {
		t.Error(err)
	}
	if n < 40 {
		t.Errorf("only %d examples were looked at", n)
	}
}

func TestJSONKeepsOrder(t *testing.T) {
	text := string(openapi.JSON())
	var last int
	for _, path := range []string{`"/routes":`, `"/routes/{destination}":`, `"/v1/routes":`, `"/kv":`, `"/api/control/nodes":`} {
		at := strings.Index(text, path)
		if at <= last {
			t.Errorf("%s is at %d, after %d", path, at, last)
		}
		last = at
	}
	if !json.Valid(openapi.JSON()) {
		t.Error("not JSON")
	}
}
