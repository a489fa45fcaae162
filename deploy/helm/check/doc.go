// Package check tests the Helm chart in deploy/helm/dvr: Helm renders it, and
// Kubernetes' own types and OpenAPI schema judge what comes out. A module of
// its own, so that DVR itself does not depend on Kubernetes. make helm-test.
package check
