package deploy

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const chartDir = "helm/signet-server"

func valuesOf(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartDir, "ci", file))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render is what `helm template` does.
func render(values map[string]any) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: "codec", Namespace: "temporal", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// release is what a rendered chart holds, read as strictly as Kubernetes can: a field that does not exist is an error.
type release struct {
	config  corev1.ConfigMap
	pods    appsv1.StatefulSet
	byKind  map[string]int
	raw     map[string]string
	network networkingv1.NetworkPolicy
}

func newRelease(t *testing.T, values map[string]any) *release {
	t.Helper()
	files, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	r := &release{byKind: map[string]int{}, raw: files}
	for name, text := range files {
		if strings.HasSuffix(name, ".txt") || strings.HasSuffix(name, ".tpl") {
			continue
		}
		documents := yamlutil.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			document, err := documents.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r.add(t, name, document)
		}
	}
	return r
}

func (r *release) add(t *testing.T, name string, document []byte) {
	t.Helper()
	var object unstructured.Unstructured
	if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, document)
	}
	if len(object.Object) == 0 {
		return
	}
	kind := object.GetKind()
	r.byKind[kind]++
	if object.GetName() == "" || object.GetLabels()["app.kubernetes.io/instance"] != "codec" {
		t.Errorf("%s: a %s without name or labels", name, kind)
	}
	into := map[string]any{
		"ConfigMap": &corev1.ConfigMap{}, "StatefulSet": &r.pods, "Service": &corev1.Service{}, "ServiceAccount": &corev1.ServiceAccount{},
		"Ingress": &networkingv1.Ingress{}, "NetworkPolicy": &r.network, "PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
		"PodMonitor": &map[string]any{}, "PrometheusRule": &map[string]any{}, // no types without the operator's module
	}[kind]
	if into == nil {
		t.Fatalf("%s: a %s", name, kind)
	}
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Errorf("%s: %v\n%s", name, err, document)
	}
	if c, ok := into.(*corev1.ConfigMap); ok && c.Data["config.yaml"] != "" {
		r.config = *c
	}
}

func TestTheChartIsFreeOfLint(t *testing.T) {
	for _, file := range []string{"smallest-values.yaml", "everything-values.yaml"} {
		result := lint.RunAll(chartDir, valuesOf(t, file), "temporal")
		for _, m := range result.Messages {
			// Icons are for catalogues.
			if m.Severity > support.InfoSev || !strings.Contains(m.Err.Error(), "icon is recommended") {
				t.Errorf("%s: %v", file, m)
			}
		}
	}
}

// TestThePageShowsTheSmallestValues: those that the other tests render and give to the server.
func TestThePageShowsTheSmallestValues(t *testing.T) {
	values, err := os.ReadFile(filepath.Join(chartDir, "ci", "smallest-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(values)+"```\n") {
		t.Errorf("docs/deploy.md does not show %s as it stands:\n%s", "smallest-values.yaml", values)
	}
}

func TestTheSmallestReleaseIsSafe(t *testing.T) {
	r := newRelease(t, valuesOf(t, "smallest-values.yaml"))
	spec := r.pods.Spec.Template.Spec
	c := spec.Containers[0]
	security, pod := c.SecurityContext, spec.SecurityContext
	switch {
	case !*pod.RunAsNonRoot || *pod.RunAsUser == 0:
		t.Error("it runs as root")
	case *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || len(security.Capabilities.Drop) != 1 || security.Capabilities.Drop[0] != "ALL":
		t.Errorf("security context %+v", security)
	case *spec.AutomountServiceAccountToken:
		t.Error("its pods can use the Kubernetes API")
	case c.ReadinessProbe.HTTPGet.Scheme != corev1.URISchemeHTTPS:
		t.Error("probes do not speak TLS")
	case len(r.pods.Spec.VolumeClaimTemplates) != 1 || r.pods.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType:
		t.Error("the audit log does not outlive the release")
	case *spec.TerminationGracePeriodSeconds < 10+10+5: // stopDelay, drain, the last traces
		t.Error("pods are killed while they drain")
	}
	for kind, want := range map[string]int{"StatefulSet": 1, "Service": 2, "ConfigMap": 1, "ServiceAccount": 1, "PodDisruptionBudget": 1} {
		if r.byKind[kind] != want {
			t.Errorf("%d of %s, want %d", r.byKind[kind], kind, want)
		}
	}
	mounts := map[string]bool{}
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = true
	}
	for _, v := range spec.Volumes {
		if !mounts[v.Name] {
			t.Errorf("volume %s is not mounted", v.Name)
		}
	}
}

func TestEverythingThatCanBeAskedForIsRendered(t *testing.T) {
	r := newRelease(t, valuesOf(t, "everything-values.yaml"))
	for kind, want := range map[string]int{"StatefulSet": 1, "Service": 2, "ConfigMap": 2, "ServiceAccount": 1, "Ingress": 1,
		"NetworkPolicy": 1, "PodDisruptionBudget": 1, "PodMonitor": 1, "PrometheusRule": 1} {
		if r.byKind[kind] != want {
			t.Errorf("%d of %s, want %d", r.byKind[kind], kind, want)
		}
	}
	if got := r.pods.Spec.Template.Spec.Containers[0].Image; !strings.HasPrefix(got, "registry.example.com/signet-server@sha256:") {
		t.Errorf("image %s", got)
	}
	for _, rule := range r.network.Spec.Ingress {
		if len(rule.From) == 0 || len(rule.Ports) == 0 {
			t.Errorf("a rule lets everybody in: %+v", rule)
		}
	}
	for _, rule := range r.network.Spec.Egress {
		if len(rule.Ports) == 0 {
			t.Errorf("a rule lets everything out: %+v", rule)
		}
	}
}

func TestValuesThatLackADecisionAreRefusedWithWords(t *testing.T) {
	without := func(keys ...string) map[string]any {
		values := valuesOf(t, "smallest-values.yaml")
		inner := values
		for _, key := range keys[:len(keys)-1] {
			inner = inner[key].(map[string]any)
		}
		delete(inner, keys[len(keys)-1])
		return values
	}
	with := func(key string, value any) map[string]any {
		values := valuesOf(t, "smallest-values.yaml")
		values[key] = value
		return values
	}
	for says, c := range map[string]struct {
		values map[string]any
		want   string
	}{
		"no image":             {without("image", "repository"), "image.repository is required"},
		"no certificate":       {without("tls", "secretName"), "tls.secretName is required"},
		"no policy":            {without("policy"), "policy is required"},
		"no configuration":     {without("config"), "config is required"},
		"a misspelled value":   {with("replica", 3), "replica"},
		"a field of the chart": {with("config", map[string]any{"listen": ":1"}), "config.listen is set by the chart"},
		"no host":              {with("ingress", map[string]any{"enabled": true}), "ingress.host is required"},
	} {
		t.Run(says, func(t *testing.T) {
			if _, err := render(c.values); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
