"""The flagship app file: what OpenSail must get on one server, and what it must never get."""

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage import flow
from moorage.errors import InputError
from moorage.targets.base import Rendering

SETTINGS = """\
name: studio
app: opensail
domain: studio.example.com
tls: {mode: letsencrypt, email: ops@example.com}
images: {source: ./studio}
resources: {host: {memory: 16Gi, cpus: 4}}
"""

PYTHON = ("orchestrator", "worker", "gateway", "automations-controller")

# What upstream's settings read as a number or a truth value: an empty text ends the process at its start.
NUMBERS = {
    "ACCESS_TOKEN_EXPIRE_MINUTES", "ADDITIONAL_DEPLOY_PRICE", "CREATOR_REVENUE_SHARE", "CREDIT_PACKAGE_LARGE",
    "CREDIT_PACKAGE_MEDIUM", "CREDIT_PACKAGE_SMALL", "CREDIT_PACKAGE_TEAM", "CSRF_TOKEN_MAX_AGE",
    "GATEWAY_TICK_INTERVAL", "LITELLM_INITIAL_BUDGET", "PROJECT_MAX_CONCURRENT_AGENTS", "REFRESH_TOKEN_EXPIRE_DAYS",
    "SIGNUP_BONUS_CREDITS", "SIGNUP_BONUS_EXPIRY_DAYS", "SMTP_PORT", "TEMPLATE_MAX_SIZE_MB", "TIER_PRICE_BASIC",
    "TIER_PRICE_PRO", "TIER_PRICE_ULTRA", "USER_ENQUEUE_RATE_PER_10S", "USER_MAX_CONCURRENT_AGENTS",
    "WORKER_JOB_TIMEOUT", "WORKER_MAX_JOBS", "WORKER_MAX_TRIES",
}  # fmt: skip
SWITCHES = {"COOKIE_SECURE", "DATABASE_SSL", "SMTP_USE_TLS", "TWO_FA_ENABLED"}

# Names that upstream sets somewhere and reads nowhere: to offer them would promise what nothing keeps.
DEAD = {
    "AGENT_MAX_COST", "AGENT_MAX_COST_PER_RUN", "AGENT_MAX_ITERATIONS", "APP_PROTOCOL", "AST_SERVICE_ENABLED",
    "BASIC_MAX_PROJECTS", "CLOUDFLARE_API_BASE", "CONTAINER_CLEANUP_INTERVAL_MINUTES",
    "CONTAINER_CLEANUP_TIER1_IDLE_MINUTES", "CONTAINER_CLEANUP_TIER2_PAUSED_HOURS", "CONTAINER_PUSH_TIMEOUT",
    "CORS_ORIGINS", "DEPLOYMENT_BUILD_DIR", "DEPLOYMENT_TIMEOUT", "DEV_SERVER_BASE_URL", "DIGITALOCEAN_CLIENT_ID",
    "FILEOPS_ENABLED", "FREE_MAX_PROJECTS", "GATEWAY_ENABLED", "GITHUB_OAUTH_ENABLED", "GITHUB_TOKEN_ENCRYPTION_KEY",
    "GOOGLE_OAUTH_ENABLED", "HEROKU_CLIENT_ID", "K8S_REGISTRY_URL", "K8S_RWX_STORAGE_CLASS", "K8S_USE_S3_STORAGE",
    "KANIKO_IMAGE", "MAGIC_LINK_ENABLED", "NETLIFY_API_BASE", "PLATFORM_REVENUE_SHARE", "PREMIUM_SUBSCRIPTION_PRICE",
    "PRO_MAX_PROJECTS", "S3_ACCESS_KEY_ID", "S3_BUCKET_NAME", "S3_ENDPOINT_URL", "S3_REGION", "S3_SECRET_ACCESS_KEY",
    "SIGNAL_CLI_URL", "STRIPE_CONNECT_CLIENT_ID", "STRIPE_PREMIUM_PRICE_ID", "TRAEFIK_CERT_RESOLVER",
    "ULTRA_MAX_PROJECTS", "USAGE_INVOICE_DAY", "VERCEL_API_BASE", "VITE_ALLOWED_HOSTS", "WEB_SEARCH_PROVIDER",
}  # fmt: skip

# What upstream's processes read on one server: name → what must arrive, for the deployment of SETTINGS.
ALWAYS = {
    "SECRET_KEY": r"[0-9a-f]{64}", "CSRF_SECRET_KEY": r"[0-9a-f]{64}", "INTERNAL_API_SECRET": r"[0-9a-f]{64}",
    "INTERNAL_SECRET_GRACE_SECONDS": "0", "DEPLOYMENT_MODE": "docker", "DEPLOYMENT_ENV": "selfhosted",
    "DEPLOYMENT_ENCRYPTION_KEY": r"[\w-]{43}=", "CHANNEL_ENCRYPTION_KEY": r"[\w-]{43}=", "LOG_LEVEL": "INFO",
    "PYTHONUNBUFFERED": "1", "BUILD_SHA": "latest",
    "DATABASE_URL": r"postgresql\+asyncpg://tesslate_user:[0-9a-f]{64}@postgres:5432/tesslate", "DATABASE_SSL": "false",
    "REDIS_URL": r"redis://:[0-9a-f]{64}@redis:6379/0",
    "APP_DOMAIN": r"studio\.example\.com", "APP_BASE_URL": r"https://studio\.example\.com",
    "PUBLIC_BASE_URL": r"https://studio\.example\.com", "FRONTEND_ORIGIN": r"https://studio\.example\.com",
    "ALLOWED_HOSTS": r"studio\.example\.com,\*\.studio\.example\.com", "COOKIE_SECURE": "true", "COOKIE_SAMESITE": "lax",
    "BLOCKED_EMAIL_DOMAINS": r"tesslate\.com", "LITELLM_EMAIL_DOMAIN": r"studio\.example\.com", "TWO_FA_ENABLED": "false",
    "GOOGLE_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/auth/google/callback",
    "GITHUB_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/auth/github/callback",
    "GITLAB_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/git-providers/gitlab/oauth/callback",
    "BITBUCKET_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/git-providers/bitbucket/oauth/callback",
    "VERCEL_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/deployment-oauth/vercel/callback",
    "NETLIFY_OAUTH_REDIRECT_URI": r"https://studio\.example\.com/api/deployment-oauth/netlify/callback",
    "TESSLATE_OFFICIAL_BASE_URL": "http://marketplace:8800", "MARKETPLACE_ADMIN_TOKEN": r"[A-Za-z0-9]{48}",
    "TEMPLATE_BUILD_ENABLED": "false", "TEMPLATE_STORAGE_PATH": "/templates", "PROJECT_SYNC_STORAGE_ROOT": "/project-sync",
    "GATEWAY_SHARD": "0", "GATEWAY_LOCK_DIR": "/var/run/tesslate", "GATEWAY_MEDIA_CACHE_DIR": "/var/cache/tesslate-media",
}  # fmt: skip
# What arrives only when the operator gives it: unset, upstream's own default holds.
ON_REQUEST = {
    *NUMBERS, "SMTP_USE_TLS", "COOKIE_DOMAIN", "ALLOWED_EMAIL_DOMAINS", "PLATFORM_ADMIN_USER_ID", "GATEWAY_VOICE_MODEL",
    "LITELLM_API_BASE", "LITELLM_MASTER_KEY", "LITELLM_DEFAULT_MODELS", "LITELLM_TEAM_ID", "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "COMPACTION_SUMMARY_MODEL", "TAVILY_API_KEY", "BRAVE_SEARCH_API_KEY",
    "SMTP_HOST", "SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_SENDER_EMAIL", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET",
    "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "GITLAB_CLIENT_ID", "GITLAB_CLIENT_SECRET", "GITLAB_API_BASE_URL",
    "BITBUCKET_CLIENT_ID", "BITBUCKET_CLIENT_SECRET", "VERCEL_CLIENT_ID", "VERCEL_CLIENT_SECRET", "NETLIFY_CLIENT_ID",
    "NETLIFY_CLIENT_SECRET", "MCP_OAUTH_APP_GITHUB_CLIENT_ID", "MCP_OAUTH_APP_GITHUB_CLIENT_SECRET",
    "MCP_OAUTH_APP_SLACK_CLIENT_ID", "MCP_OAUTH_APP_SLACK_CLIENT_SECRET", "DISCORD_WEBHOOK_URL",
    "AGENT_DISCORD_WEBHOOK_URL", "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET",
    "STRIPE_BASIC_PRICE_ID", "STRIPE_PRO_PRICE_ID", "STRIPE_ULTRA_PRICE_ID", "STRIPE_BASIC_ANNUAL_PRICE_ID",
    "STRIPE_PRO_ANNUAL_PRICE_ID", "STRIPE_ULTRA_ANNUAL_PRICE_ID", "MARKETPLACE_SUBMISSION_WEBHOOK_SECRET",
    "MARKETPLACE_HUB_ENTITLEMENT_SECRET",
}  # fmt: skip
HUB = {
    "DATABASE_URL": r"postgresql\+asyncpg://tesslate_user:[0-9a-f]{64}@postgres:5432/tesslate_marketplace",
    "OPENSAIL_ENV": "production", "HUB_DISPLAY_NAME": "OpenSail", "BUILD_REVISION": "latest",
    "HUB_ID_FILE": r"/data/\.hub_id", "ATTESTATION_KEY_PATH": r"/data/\.attestation_key", "BUNDLE_STORAGE_BACKEND": "local",
    "BUNDLE_STORAGE_DIR": "/data/bundles", "BUNDLE_BASE_URL": "http://marketplace:8800",
    "BUNDLE_URL_SECRET": r"[A-Za-z0-9]{48}", "MARKETPLACE_LOAD_SEEDS_ON_STARTUP": "true",
    "STATIC_TOKENS": r"[A-Za-z0-9]{48}:admin\.write:publish:yanks\.write:catalog\.write:pricing\.write",
}  # fmt: skip
EDITOR = {
    "AST_BIND_HOST": r"127\.0\.0\.1", "AST_BIND_PORT": "9000", "AST_POOL_THREADS": r"\d+",
    "AST_WORKER_MAX_OLD_MB": r"\d+", "AST_WORKER_MAX_YOUNG_MB": r"\d+",
}  # fmt: skip
DNS = """\
name: studio
app: opensail
domain: studio.example.com
tls: {email: ops@example.com, challenge: cloudflare-dns}
images: {source: ./studio}
resources: {host: {memory: 16Gi, cpus: 4}}
"""


class Site:
    """One deployment of OpenSail, rendered."""

    def __init__(self, folder: Path, settings: str = SETTINGS, secrets: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "moorage.yaml").write_text(settings)
        values = folder / "secrets/compose/values"
        for name, value in (secrets or {}).items():
            values.mkdir(parents=True, exist_ok=True)
            (values / name).write_text(f"{value}\n")
        self.deployment = flow.open_deployment(folder, write_secrets=True, random_bytes=random.Random(7).randbytes)
        self.rendering: Rendering = flow.render(self.deployment.stack)
        self.compose = self.data("compose/compose.yaml")
        self.services: dict[str, Any] = self.compose["services"]

    def data(self, path: str) -> Any:
        """A rendered YAML or JSON file."""
        return yaml.safe_load(self.rendering.public.files[path].content)

    def environment(self, service: str) -> dict[str, str]:
        """Everything in a container's environment; secrets come from its env file."""
        found = {name: str(value) for name, value in self.services[service].get("environment", {}).items()}
        private = self.rendering.private.files.get(f"env/{service}.env")
        for line in private.content.decode().splitlines() if private else []:
            if not line.startswith("#"):
                name, _, value = line.partition("=")
                found[name] = json.loads(value.replace("\\$", "$"))
        return found

    def routers(self) -> dict[str, Any]:
        """The rendered routers."""
        routers: dict[str, Any] = self.data("compose/traefik/dynamic/routes.yaml")["http"]["routers"]
        return routers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("opensail"))


def problems_with(folder: Path, settings: str) -> str:
    with pytest.raises(InputError) as refusal:
        Site(folder, settings)
    return "\n".join(str(problem) for problem in refusal.value.problems)


def test_every_part_of_the_app_is_there(site: Site) -> None:
    assert {*PYTHON, "app", "ast", "marketplace", "postgres", "redis", "traefik"} <= set(site.services)
    assert {job.name: job.run for job in site.deployment.stack.jobs} == {
        "migrate": "before-rollout",
        "migrate-marketplace": "before-rollout",
        "seed-contract-templates": "manual",
    }


def test_commands_are_those_of_upstream(site: Site) -> None:
    def program(service: str) -> str:
        shell, option, script = site.services[service]["command"]
        assert (shell, option) == ("sh", "-c")
        return str(script.rpartition("&& exec ")[2])

    assert program("orchestrator") == "uvicorn app.main:app --host 0.0.0.0 --port 8000 --log-level warning"
    assert program("worker") == "arq app.worker.WorkerSettings"
    assert site.services["gateway"]["command"] == ["python", "-m", "app.gateway"]
    controller = site.services["automations-controller"]["command"]
    assert controller == ["python", "-m", "app.services.automations.controller_main"]


def test_no_secret_is_in_the_public_tree(site: Site) -> None:
    secrets = {name: value.reveal() for name, value in site.deployment.secrets.values.items()}
    assert len(secrets) == 9
    for path, file in site.rendering.public.files.items():
        for name, value in secrets.items():
            assert value.encode() not in file.content, f"{name} is in {path}"


def test_all_python_processes_have_the_same_environment(site: Site) -> None:
    first = site.environment("orchestrator")
    assert len(first) > 30
    for other in (*PYTHON[1:], "migrate", "seed-contract-templates"):
        source = other if other in PYTHON else "automations-controller"
        assert site.services[other]["image"] == site.services["orchestrator"]["image"]
        assert site.services[other]["environment"] == site.services["orchestrator"]["environment"]
        assert site.environment(source) == first


@pytest.mark.parametrize(
    ("service", "expected"),
    [*((name, ALWAYS) for name in PYTHON), ("marketplace", HUB), ("ast", EDITOR), ("app", {"VITE_API_URL": ""})],
)
def test_every_setting_of_this_tier_arrives_in_its_form(service: str, expected: dict[str, str], site: Site) -> None:
    found = site.environment(service)
    wrong = {name: found.get(name) for name, form in expected.items() if not re.fullmatch(form, found.get(name, "-"))}
    assert wrong == {}
    # One more would be a setting that nobody looked at, but for what no process reads: the width of the log.
    assert set(found) - set(expected) <= {"COLUMNS"}


def test_every_other_setting_of_this_tier_can_be_given(tmp_path: Path, site: Site) -> None:
    variables = site.deployment.app.extension.variables
    features = {name for name in variables if name.startswith("TSL_FEATURE_APPS_")}
    assert len(features) == 24
    offered = set(site.deployment.app.document.value["x-python"]["environment"])
    assert offered - {"COLUMNS"} == set(ALWAYS) | ON_REQUEST | features
    secret = {name for name in ON_REQUEST if variables[name].secret}
    assert {name for name in ON_REQUEST if re.search("SECRET|PASSWORD|_KEY$|WEBHOOK_URL", name)} - secret == {
        "STRIPE_PUBLISHABLE_KEY"
    }


def test_one_wildcard_certificate_serves_the_site_and_every_preview(tmp_path: Path) -> None:
    found = Site(tmp_path, DNS, {"CF_DNS_API_TOKEN": "token-of-cloudflare"})
    static = found.data("compose/traefik/traefik.yaml")
    entry = static["entryPoints"]["websecure"]
    names = [{"main": "studio.example.com", "sans": ["*.studio.example.com"]}]
    # At the entry point, because the projects' routers say nothing of certificates.
    assert entry["http"]["tls"] == {"certResolver": "letsencrypt", "domains": names}
    challenge = static["certificatesResolvers"]["letsencrypt"]["acme"]["dnsChallenge"]
    assert challenge == {"provider": "cloudflare", "resolvers": ["1.1.1.1:53", "8.8.8.8:53"]}
    assert all("tls" not in router for router in found.routers().values())
    assert b"token-of-cloudflare" in found.rendering.private.files["env/traefik.env"].content
    assert not [path for path, file in found.rendering.public.files.items() if b"token-of-cloudflare" in file.content]


def test_no_number_and_no_switch_is_ever_empty(site: Site) -> None:
    environment = site.environment("orchestrator")
    empty = {name for name, value in environment.items() if value == ""}
    assert not empty & (NUMBERS | SWITCHES)
    # Nobody set them, so the app's own defaults hold.
    assert not environment.keys() & NUMBERS
    assert {environment[name] for name in SWITCHES & environment.keys()} <= {"true", "false"}
    for service in site.services:
        plain = site.services[service].get("environment", {})
        assert [name for name, value in plain.items() if value == "" and name != "VITE_API_URL"] == []


def test_an_optional_secret_that_nobody_set_is_not_passed(site: Site) -> None:
    assert [name for name, value in site.environment("orchestrator").items() if value == ""] == []


def test_numbers_and_switches_that_the_operator_gives_arrive(tmp_path: Path) -> None:
    given = {**dict.fromkeys(sorted(NUMBERS), "1"), **dict.fromkeys(sorted(SWITCHES), "true")}
    found = Site(tmp_path, SETTINGS + yaml.safe_dump({"env": given})).environment("worker")
    assert {name: found.get(name) for name in given} == given


@pytest.mark.parametrize("value", ["", "many"])
def test_numbers_and_switches_that_would_end_the_app_are_refused(tmp_path: Path, value: str) -> None:
    names = sorted(NUMBERS | SWITCHES)
    found = problems_with(tmp_path, SETTINGS + yaml.safe_dump({"env": dict.fromkeys(names, value)}))
    assert [name for name in names if f"env.{name}:" not in found] == []


def test_secrets_that_the_operator_sets_arrive(tmp_path: Path) -> None:
    secrets = {"LITELLM_MASTER_KEY": "sk-0123", "SMTP_PASSWORD": "p$ss #1", "STRIPE_SECRET_KEY": "sk_live_1"}
    found = Site(tmp_path, SETTINGS, secrets).environment("gateway")
    assert found["LITELLM_MASTER_KEY"] == "sk-0123"
    assert found["STRIPE_SECRET_KEY"] == "sk_live_1"
    assert found["SMTP_PASSWORD"] == "p$ss #1"


def test_every_variable_that_is_offered_reaches_a_container(site: Site) -> None:
    source = site.deployment.app.document.value
    passed = yaml.safe_dump([source["services"], source["x-moorage"]["kubernetes_components"]])
    unused = [name for name in source["x-moorage"]["variables"] if not re.search(rf"\b{name}\b", passed)]
    assert unused == []


def test_every_optional_name_in_an_environment_is_offered(site: Site) -> None:
    source = site.deployment.app.document.value
    offered = set(source["x-moorage"]["variables"])
    for service in source["services"].values():
        names = {name for name, value in service.get("environment", {}).items() if value is None}
        assert names <= offered


def test_nothing_dead_is_offered_or_passed(site: Site) -> None:
    assert not DEAD & set(site.deployment.app.extension.variables)
    for service in site.services:
        assert not DEAD & site.environment(service).keys()


def test_secrets_have_the_forms_that_upstream_wants(site: Site) -> None:
    secrets = {name: value.reveal() for name, value in site.deployment.secrets.values.items()}
    for name in ("SECRET_KEY", "CSRF_SECRET_KEY", "INTERNAL_API_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert re.fullmatch(r"[0-9a-f]{64}", secrets[name]), name
    for name in ("DEPLOYMENT_ENCRYPTION_KEY", "CHANNEL_ENCRYPTION_KEY"):
        assert len(base64.urlsafe_b64decode(secrets[name])) == 32
        assert len(secrets[name]) == 44
    for name in ("MARKETPLACE_ADMIN_TOKEN", "BUNDLE_URL_SECRET"):
        assert re.fullmatch(r"[A-Za-z0-9]{48}", secrets[name]), name
    assert len(set(secrets.values())) == len(secrets)


def test_databases_are_reached_by_the_async_driver(site: Site) -> None:
    password = site.deployment.secrets.values["POSTGRES_PASSWORD"].reveal()
    main, hub = site.environment("worker")["DATABASE_URL"], site.environment("marketplace")["DATABASE_URL"]
    assert main == f"postgresql+asyncpg://tesslate_user:{password}@postgres:5432/tesslate"
    assert re.fullmatch(rf"postgresql\+asyncpg://tesslate_user:{password}@postgres:5432/tesslate.marketplace", hub)
    # A percent sign ends Alembic.
    assert "%" not in main + hub
    made = site.rendering.public.files["compose/postgres/ensure.sql"].content.decode()
    for address in (main, hub):
        assert f'CREATE DATABASE "{address.rpartition("/")[2]}" OWNER "tesslate_user"' in made


def test_redis_needs_a_password_that_no_client_must_decode(site: Site) -> None:
    assert re.fullmatch(r"redis://:[0-9a-f]{64}@redis:6379/0", site.environment("gateway")["REDIS_URL"])


def test_postgres_15_is_enough_and_older_is_refused(tmp_path: Path) -> None:
    assert "postgres.version" in problems_with(tmp_path / "old", SETTINGS + 'postgres: {version: "14"}\n')
    Site(tmp_path / "known", SETTINGS + 'postgres: {version: "15"}\n')


def test_addresses_follow_the_domain(site: Site) -> None:
    environment = site.environment("orchestrator")
    assert environment["APP_DOMAIN"] == "studio.example.com"
    for name in ("APP_BASE_URL", "PUBLIC_BASE_URL", "FRONTEND_ORIGIN"):
        assert environment[name] == "https://studio.example.com"
    assert environment["ALLOWED_HOSTS"] == "studio.example.com,*.studio.example.com"
    redirects = {name: value for name, value in environment.items() if name.endswith("_OAUTH_REDIRECT_URI")}
    assert len(redirects) == 6
    assert all(re.fullmatch(r"https://studio\.example\.com/api/[a-z/-]+/callback", item) for item in redirects.values())


def test_what_upstream_leaves_open_is_closed(site: Site) -> None:
    environment = site.environment("orchestrator")
    assert environment["INTERNAL_SECRET_GRACE_SECONDS"] == "0"
    assert environment["BLOCKED_EMAIL_DOMAINS"] == "tesslate.com"
    assert environment["COOKIE_SECURE"] == "true"
    assert "COOKIE_DOMAIN" not in environment
    # No such feature file: magic-link login stays off.
    assert environment["DEPLOYMENT_ENV"] not in ("docker", "minikube", "beta", "production", "desktop")
    assert environment["DEPLOYMENT_MODE"] == "docker"
    assert not environment.keys() & {"TSL_APPS_DEV_AUTO_APPROVE", "TSL_APPS_SKIP_APPROVAL", "TEST_HELPERS_ENABLED"}


def test_the_migration_also_closes_the_vendor_s_account(site: Site) -> None:
    migrate = site.services["migrate"]
    program = migrate["command"][2]
    compile(program, "migrate", "exec")
    assert program.index('["alembic", "upgrade", "head"]') < program.index("get_or_create_tesslate_account(session)")
    assert "account.is_active = account.is_superuser = False" in program
    for service in (*PYTHON, "marketplace"):
        assert site.services[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert set(migrate["depends_on"]) == {"postgres", "redis"}


def test_the_internal_api_is_denied_above_the_api(site: Site) -> None:
    routers = site.routers()
    denied = next(item for name, item in routers.items() if name.endswith("denied"))
    api = next(item for item in routers.values() if "PathPrefix(`/api`)" in item["rule"])
    assert "/api/internal" in denied["rule"]
    assert denied["middlewares"] == ["moorage::deny"]
    assert denied["priority"] > max(item["priority"] for item in routers.values() if item is not denied)
    assert api["service"] == "orchestrator-8000"


def test_the_chat_s_token_in_the_address_leaves_no_line_in_the_log(site: Site) -> None:
    quiet = [item for item in site.routers().values() if item.get("observability") == {"accessLogs": False}]
    (chat,) = quiet
    assert "PathPrefix(`/api/chat/ws`)" in chat["rule"]
    assert chat["service"] == "orchestrator-8000"


def test_the_backend_gets_its_paths_and_the_frontend_the_rest(site: Site) -> None:
    rules = {item["rule"].partition(" && ")[2]: item for item in site.routers().values()}
    backend = {rule for rule, item in rules.items() if item["service"] == "orchestrator-8000"}
    assert {"PathPrefix(`/api`)", "PathPrefix(`/ws`)", "Path(`/health`)"} <= backend
    rest = rules[""]
    assert rest["service"] == "app-80"
    assert rest["priority"] < min(item["priority"] for rule, item in rules.items() if rule)
    assert "moorage::compress" in rest["middlewares"]


def test_previews_are_upgraded_where_there_is_https(site: Site, tmp_path: Path) -> None:
    def policy(of: Site) -> list[str]:
        middlewares = of.data("compose/traefik/dynamic/routes.yaml")["http"]["middlewares"]
        headers = [
            item["headers"].get("customResponseHeaders", {}) for item in middlewares.values() if "headers" in item
        ]
        return [item["Content-Security-Policy"] for item in headers if "Content-Security-Policy" in item]

    assert policy(site) == ["upgrade-insecure-requests"]
    plain = Site(tmp_path, SETTINGS.replace("{mode: letsencrypt, email: ops@example.com}", '{mode: "off"}'))
    assert policy(plain) == []
    assert plain.environment("orchestrator")["APP_BASE_URL"] == "http://studio.example.com"


def test_project_containers_are_found_and_have_host_names(site: Site) -> None:
    assert site.deployment.stack.wildcard
    assert "socket-proxy" in site.services
    static = yaml.safe_load(site.rendering.public.files["compose/traefik/traefik.yaml"].content)
    assert static["providers"]["docker"]["exposedByDefault"] is False
    facts = json.loads(site.rendering.public.files["stack.json"].content)
    assert facts["project_networks"] == "tesslate-*"
    assert facts["check_path"] == "/api/config"


def test_the_backend_reaches_previews_without_leaving_the_server(site: Site, tmp_path: Path) -> None:
    # It asks http://traefik with a preview's name as Host. A redirect to the public name would need a way back in.
    entries = site.data("compose/traefik/traefik.yaml")["entryPoints"]
    assert entries["inside"] == {"address": ":80", "asDefault": True, "http": {"aliasHeadersStrategy": "delete"}}
    published = {item["published"]: item["target"] for item in site.services["traefik"]["ports"]}
    assert published == {"80": 8080, "443": 443}
    assert entries["web"]["address"] == ":8080"
    assert entries["web"]["http"]["redirections"]["entryPoint"]["scheme"] == "https"
    # Routers that say nothing themselves are the projects': never at the redirecting entry or the health check's.
    assert [name for name, entry in entries.items() if entry.get("asDefault")] == ["inside", "websecure"]
    assert site.services["traefik"]["networks"]["edge"]["aliases"] == ["traefik"]
    for router in site.routers().values():
        assert router["entryPoints"] == ["websecure"]
    plain = Site(tmp_path, SETTINGS.replace("{mode: letsencrypt, email: ops@example.com}", '{mode: "off"}'))
    assert set(plain.data("compose/traefik/traefik.yaml")["entryPoints"]) == {"ping", "web"}
    assert [item["target"] for item in plain.services["traefik"]["ports"]] == [80]


def test_the_editor_s_service_shares_the_backend_s_network(site: Site) -> None:
    ast = site.services["ast"]
    assert ast["network_mode"] == "service:orchestrator"
    assert "networks" not in ast
    assert ast["environment"]["AST_BIND_HOST"] == "127.0.0.1"
    # A crashed backend comes back with another network: the service that sees it gone for long enough ends.
    program = ast["command"]
    assert (program[0], program[-1]) == ("node", "dist/src/server.js")
    assert program[2].startswith("data:text/javascript,")
    assert not {"#", "%", "\n"} & set(program[2])
    # Two backends side by side would leave the editor's service in the old one's network.
    assert site.deployment.stack.service("orchestrator").rollout == "recreate"
    assert site.deployment.stack.service("app").rollout == "rolling"


def test_the_image_of_projects_has_exactly_its_name(site: Site, tmp_path: Path) -> None:
    assert "devserver" not in site.services
    builds = site.data("compose/build.yaml")["services"]
    assert [
        item["build"]["dockerfile"] for item in builds.values() if item["image"] == "tesslate-devserver:latest"
    ] == ["orchestrator/Dockerfile.devserver"]
    pushed = SETTINGS.replace("{source: ./studio}", "{registry: ghcr.io/acme, tag: '1.2'}")
    other = Site(tmp_path, pushed)
    assert other.services["worker"]["image"] == "ghcr.io/acme/tesslate-backend:1.2"
    extra = other.deployment.stack.extra_images
    assert [(item.name, item.image.reference) for item in extra] == [
        ("tesslate-devserver:latest", "ghcr.io/acme/tesslate-devserver:1.2")
    ]


def test_images_are_built_from_the_folders_of_the_source(site: Site) -> None:
    builds = {item["image"]: item["build"] for item in site.data("compose/build.yaml")["services"].values()}
    assert {image: build["context"] for image, build in builds.items()} == {
        "tesslate-backend:latest": "${MOORAGE_ASSETS}",
        "tesslate-frontend:latest": "${MOORAGE_ASSETS}/app",
        "tesslate-ast:latest": "${MOORAGE_ASSETS}/services/ast",
        "tesslate-marketplace:latest": "${MOORAGE_ASSETS}/packages/tesslate-marketplace",
        "tesslate-devserver:latest": "${MOORAGE_ASSETS}",
    }
    assert builds["tesslate-frontend:latest"]["dockerfile"] == "Dockerfile.prod"


def test_the_backend_is_built_with_locked_packages(site: Site) -> None:
    steps = site.data("compose/build.yaml")["services"]["orchestrator"]["build"]["dockerfile_inline"]
    assert "PIP_CONSTRAINT=/opt/constraints.txt" in steps
    assert steps.rindex("> /opt/constraints.txt") < steps.index("pip install")
    # Compose would fill in what looks like a variable.
    assert "$" not in steps
    pinned = re.search(r"\blitellm==([0-9.]+)", steps)
    assert pinned is not None
    assert pinned[1] not in ("1.82.7", "1.82.8")
    assert "docker compose version" in steps


def test_a_checkout_without_the_submodule_is_told_so_before_the_long_steps(site: Site) -> None:
    steps = site.data("compose/build.yaml")["services"]["orchestrator"]["build"]["dockerfile_inline"]
    assert steps.index("git submodule update --init --recursive") < steps.index("pip install")


def test_the_backend_writes_no_password_into_its_log(site: Site) -> None:
    steps = site.data("compose/build.yaml")["services"]["orchestrator"]["build"]["dockerfile_inline"]
    assert "s/Redis cache connected: {redis_url}/Redis cache connected/" in steps


def test_only_who_needs_docker_has_its_socket(site: Site) -> None:
    def has_socket(service: dict[str, Any]) -> bool:
        return "docker.sock" in json.dumps(service.get("volumes", []))

    assert {name for name, service in site.services.items() if has_socket(service)} == {"orchestrator", "worker"}
    for name in ("orchestrator", "worker"):
        service = site.deployment.stack.service(name)
        assert service.docker_access == "write"
        assert service.docker_access_reason


def test_the_projects_user_may_write_what_the_app_adds_to_a_project(site: Site) -> None:
    # A project's containers run as 1000:1000; the app creates files as root, and gives only copies of templates away.
    own = {name: service for name, service in site.services.items() if "extends" not in service}
    writers = {name for name, service in own.items() if "projects-data" in json.dumps(service)}
    assert writers == {"orchestrator", "worker"}
    for name in writers:
        assert site.services[name]["user"] == "0:1000"
        assert site.services[name]["command"][2].startswith("umask 0002 && exec ")


def test_the_backend_writes_no_addresses_into_its_log(site: Site) -> None:
    # The token of the session is a parameter of the WebSockets' addresses, and uvicorn logs those at level info.
    assert "--log-level warning" in site.services["orchestrator"]["command"][2]


def test_the_volumes_that_upstream_names_have_these_names(site: Site) -> None:
    volumes = site.compose["volumes"]
    assert volumes["projects-data"]["name"] == "tesslate-projects-data"
    assert volumes["base-cache"]["name"] == "tesslate-base-cache"

    def places(service: str) -> dict[str, str]:
        mounts = site.services[service].get("volumes", [])
        return {item["target"]: item["source"] for item in mounts if item["type"] == "volume"}

    shared = {"/projects": "projects-data", "/app/docker-compose-projects": "compose-projects"}
    assert places("worker") == shared
    assert shared.items() <= places("orchestrator").items()
    assert places("orchestrator")["/app/base-cache"] == "base-cache"
    assert places("orchestrator")[site.environment("orchestrator")["TEMPLATE_STORAGE_PATH"]] == "templates"
    assert places("orchestrator")[site.environment("orchestrator")["PROJECT_SYNC_STORAGE_ROOT"]] == "project-sync"
    assert places("gateway")[site.environment("gateway")["GATEWAY_LOCK_DIR"]] == "gateway-locks"
    assert places("gateway")[site.environment("gateway")["GATEWAY_MEDIA_CACHE_DIR"]] == "gateway-media"
    assert places("marketplace") == {"/data": "marketplace-data"}


def test_data_is_backed_up_and_what_can_be_made_again_is_not(site: Site) -> None:
    volumes = {volume.name: volume for volume in site.deployment.stack.volumes}
    kept = {name for name, volume in volumes.items() if volume.backup}
    assert kept == {"projects-data", "templates", "project-sync", "marketplace-data"}
    assert volumes["projects-data"].per_project
    assert "node_modules" in volumes["projects-data"].exclude


def test_the_catalogue_trusts_the_backend_s_token(site: Site) -> None:
    token = site.environment("orchestrator")["MARKETPLACE_ADMIN_TOKEN"]
    hub = site.environment("marketplace")
    name, *scopes = hub["STATIC_TOKENS"].split(":")
    assert name == token
    assert set(scopes) == {"admin.write", "publish", "yanks.write", "catalog.write", "pricing.write"}
    assert hub["OPENSAIL_ENV"] not in ("dev", "test")
    assert hub["BUNDLE_BASE_URL"] == site.environment("worker")["TESSLATE_OFFICIAL_BASE_URL"]
    for path in (hub["HUB_ID_FILE"], hub["ATTESTATION_KEY_PATH"], hub["BUNDLE_STORAGE_DIR"]):
        assert path.startswith("/data/")


def test_processes_have_time_to_end_and_are_confined(site: Site) -> None:
    grace = {"worker": "300s", "orchestrator": "60s", "gateway": "60s"}
    for name, expected in grace.items():
        assert _seconds(site.services[name]["stop_grace_period"]) == _seconds(expected)
    for name in ("gateway", "automations-controller", "ast", "marketplace"):
        assert site.services[name]["read_only"] is True
        assert "cap_add" not in site.services[name]
    for name in (*PYTHON, "app", "ast", "marketplace"):
        assert site.services[name]["cap_drop"] == ["ALL"]
        assert site.services[name]["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in site.services[name]


def test_limits_leave_room_for_projects_on_16_gigabytes(site: Site) -> None:
    services = [service for service in site.deployment.stack.services if service.replicas]
    assert sum(service.limits.memory * service.replicas for service in services) <= 8 * 1024**3
    assert sum(service.limits.memory_request * service.replicas for service in services) <= 2.5 * 1024**3


def test_the_same_input_gives_the_same_files(tmp_path: Path, site: Site) -> None:
    again = Site(tmp_path)
    assert again.rendering.public.digest() == site.rendering.public.digest()


def _seconds(text: str) -> int:
    minutes = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert minutes is not None
    return int(minutes[1] or 0) * 60 + int(minutes[2] or 0)
