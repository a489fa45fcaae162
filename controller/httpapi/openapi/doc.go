// Package openapi is the description of the HTTP API, written by hand in
// openapi.yaml, and the page that shows it. Nodes and the launcher serve both;
// the tests of both hold what they answer to it (package openapitest).
package openapi
