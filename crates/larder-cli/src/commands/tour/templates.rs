//! The tour's step about templates.

use std::fs;

use super::stage::Stage;
use crate::failure::Failure;

const TEMPLATE: &str = "\
upstream app {
{%- for host in hosts | split(',') %}
    server {{ host }}:{{ port }};
{%- endfor %}
}
server {
    listen 443 ssl;
    server_name {{ name }};
    location / { proxy_pass http://app; }
}
";

const RENDERED: &str = "\
upstream app {
    server 10.0.0.1:8080;
    server 10.0.0.2:8080;
    server 10.0.0.3:8080;
}
server {
    listen 443 ssl;
    server_name shop.example.com;
    location / { proxy_pass http://app; }
}
";

pub fn rendering(stage: &mut Stage) -> Result<(), Failure> {
    stage
        .step("Configuration files", "A web server's configuration, rendered from the values of a group.")?;
    let path = stage.path("nginx.conf.template");
    fs::write(&path, TEMPLATE).map_err(|error| Failure::file(&path, "written", &error))?;
    stage.run(&["set", "web", "name", "shop.example.com"])?;
    stage.run(&["set", "web", "port", "8080"])?;
    stage.run(&["set", "web", "hosts", "10.0.0.1,10.0.0.2,10.0.0.3"])?;
    stage.program("nginx.conf.template contains:")?;
    stage.show(TEMPLATE)?;
    stage.run(&["render", "./nginx.conf.template", "web"])?;
    stage.run(&["render", "./nginx.conf.template", "web", "--output", "./nginx.conf"])?;
    let written = fs::read_to_string(stage.path("nginx.conf")).unwrap_or_default();
    stage.found("nginx.conf has exactly the expected content", written == RENDERED)
}
