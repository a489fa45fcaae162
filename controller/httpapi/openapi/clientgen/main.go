// Command clientgen writes the calls and types of package client from the API's
// description: go generate ./controller/httpapi/client.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"dvr/controller/httpapi/openapi"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clientgen FILE")
		os.Exit(2)
	}
	text, err := Generate(openapi.JSON())
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientgen:", err)
		os.Exit(1)
	}
}

// document is of the description what is generated from. It knows what the
// description has, not all that OpenAPI may have: what it does not know is an error.
type document struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas       map[string]*schema    `json:"schemas"`
		Parameters    map[string]*parameter `json:"parameters"`
		RequestBodies map[string]*body      `json:"requestBodies"`
		Responses     map[string]*body      `json:"responses"`
	} `json:"components"`
}

type operation struct {
	ID          string           `json:"operationId"`
	Tags        []string         `json:"tags"`
	Summary     string           `json:"summary"`
	Parameters  []*parameter     `json:"parameters"`
	RequestBody *body            `json:"requestBody"`
	Responses   map[string]*body `json:"responses"`

	method, path string
}

type parameter struct {
	Ref         string  `json:"$ref"`
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Required    bool    `json:"required"`
	Description string  `json:"description"`
	Schema      *schema `json:"schema"`
}

// body is of a request or a response.
type body struct {
	Ref      string                              `json:"$ref"`
	Required bool                                `json:"required"`
	Content  map[string]struct{ Schema *schema } `json:"content"`
}

type schema struct {
	Ref         string          `json:"$ref"`
	Type        any             `json:"type"`
	Enum        []any           `json:"enum"`
	Const       any             `json:"const"`
	Format      string          `json:"format"`
	Description string          `json:"description"`
	Default     any             `json:"default"`
	Minimum     *float64        `json:"minimum"`
	Required    []string        `json:"required"`
	Properties  ordered         `json:"properties"`
	Additional  json.RawMessage `json:"additionalProperties"`
	Items       *schema         `json:"items"`
	AllOf       []*schema       `json:"allOf"`
	AnyOf       []*schema       `json:"anyOf"`
	OneOf       []*schema       `json:"oneOf"`
}
