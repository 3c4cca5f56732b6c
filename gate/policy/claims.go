package policy

// claimNames are the claims that say a fact of a token, in the order in which
// they are asked: GitHub's, then GitLab's name; Kubernetes' are its own.
//
// GitHub: docs.github.com, "OpenID Connect reference". GitLab: docs.gitlab.com,
// "ID token authentication". Kubernetes: the private claims of service account
// tokens, an object "kubernetes.io".
var claimNames = map[string][]string{
	"repository":         {"repository", "project_path"},
	"repository_id":      {"repository_id", "project_id"},
	"owner":              {"repository_owner", "namespace_path"},
	"owner_id":           {"repository_owner_id", "namespace_id"},
	"ref":                {"ref_path", "ref"}, // GitLab's ref lacks refs/heads/
	"commit":             {"sha"},
	"workflow":           {"job_workflow_ref", "ci_config_ref_uri"}, // the file that ran, not its caller
	"environment":        {"environment"},
	"event":              {"event_name", "pipeline_source"},
	"runner":             {"runner_environment"},
	"actor_id":           {"actor_id", "user_id"},
	"namespace":          {"kubernetes.io.namespace"},
	"service_account":    {"kubernetes.io.serviceaccount.name"},
	"service_account_id": {"kubernetes.io.serviceaccount.uid"},
	"pod":                {"kubernetes.io.pod.name"},
}

// immutableClaims name a subject for good: its issuer gives them to nobody else
// later, as it does with the names of repositories, owners and users.
var immutableClaims = []string{"repository_id", "repository_owner_id", "project_id", "namespace_id"}

// claim returns the first of the claims that t has, or "".
func (t *Token) claim(names []string) string {
	for _, n := range names {
		if v := t.Claims[n]; v != "" {
			return v
		}
	}
	return ""
}
