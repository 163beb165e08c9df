"""The real command behind TLS, scraped by a real Prometheus."""

import ssl
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path

import bcrypt
import trustme
import yaml

from tests.support.process import Process, free_port, wait_for
from tests.support.services import Prometheus
from tests.tools import tool


def test_prometheus_scrapes_over_mutual_tls_with_a_password(tmp_path: Path) -> None:
    """Prometheus with certificate and password scrapes; without the certificate nobody gets in."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, host in (("server", "127.0.0.1"), ("client", "prometheus.example")):
        pair = authority.issue_cert(host)
        pair.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        pair.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    web = {
        "tls_server_config": {
            "cert_file": "server.pem",
            "key_file": "server.key",
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": "ca.pem",
            "client_allowed_sans": ["prometheus.example"],
        },
        "basic_auth_users": {"prometheus": bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    (tmp_path / "password").write_text("s3cret")
    port, scraper_port = free_port(), free_port()
    scrape = {
        "job_name": "collection-health",
        "scheme": "https",
        "basic_auth": {"username": "prometheus", "password_file": "password"},
        "tls_config": {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"},
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }
    wrong = {
        **scrape,
        "job_name": "wrong",
        "basic_auth": {"username": "prometheus", "password": "x"},
    }
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape, wrong]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    serve = [
        *(sys.executable, "-m", "collection_health", "serve"),
        *("--web.listen-address", f"127.0.0.1:{port}", "--storage.path", str(tmp_path / "data")),
        *("--web.config.file", str(tmp_path / "web.yml")),
    ]
    prometheus = [
        *(str(tool("prometheus")), f"--config.file={tmp_path / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--scrape.discovery-reload-interval=1s"),
        f"--web.listen-address=127.0.0.1:{scraper_port}",
    ]
    url = f"https://127.0.0.1:{port}/-/ready"
    scraper = Process(prometheus, tmp_path / "prometheus.log")
    with Process(serve, tmp_path / "serve.log"), scraper:
        wait_for(lambda: ready(url, tmp_path), "the exporter to be ready")
        scraper.wait_http(f"http://127.0.0.1:{scraper_port}/-/ready")
        judge = Prometheus(scraper, scraper_port)
        judge.wait_for('up{job="collection-health"} == 1')
        judge.wait_for('up{job="wrong"} == 0')
        assert judge.query('collection_health_build_info{job="collection-health"}')


def ready(url: str, folder: Path) -> bool:
    """Return whether the exporter answers somebody with certificate and password."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    login = b64encode(b"prometheus:s3cret").decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
