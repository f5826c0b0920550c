"""Settings of the REST API: authentication, rate limits, formats, and its schema."""

from typing import Any

#: Limits for anonymous requests by address, and for connection tests by user. The settings have the
#: limit for requests by user.
THROTTLE_RATES = {"anon": "60/min", "login": "6/min"}

REST_FRAMEWORK: dict[str, Any] = {
    # The token comes first, so that the 401 of an anonymous request names it.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.protocol.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["api.protocol.permissions.ModelPermissions"],
    # JSON only: DRF's browsable pages would repeat submitted secrets in their forms.
    "DEFAULT_PARSER_CLASSES": ["api.protocol.rendering.Parser"],
    "DEFAULT_RENDERER_CLASSES": ["api.protocol.rendering.Renderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_FILTER_BACKENDS": ["api.protocol.filtering.StrictFilters"],
    "DEFAULT_PAGINATION_CLASS": "api.protocol.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "api.protocol.problems.answer",
    # The rates and the number of trusted proxies are in the settings.
    "DEFAULT_THROTTLE_CLASSES": [
        "api.protocol.throttling.AnonThrottle",
        "api.protocol.throttling.UserThrottle",
    ],
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Salesforce CDC",
    "DESCRIPTION": "Manage connections, listeners and handlers of Salesforce Change Data Capture, "
    "and read the audit log. Secrets are write-only.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+",
    "SERVE_INCLUDE_SCHEMA": False,
    # Requests and responses have separate schemas: only requests contain secrets.
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.protocol.schema.add_problems",
        "api.protocol.schema.add_etags",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeliveryState": "handlers.models.Delivery.State",
        "IncidentKind": "audit.models.Incident.Kind",
        "ListenerState": "listeners.listener_state.STATES",
        "MirrorRunKind": "mirror.models.MirrorRun.Kind",
        "MirrorState": "mirror.status.STATES",
        "RedeliveryState": "handlers.models.Redelivery.State",
    },
    # Served by this server, so that the page works without internet access.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # JavaScript that adds the plugin of api/static/api/exact_numbers.js to the page's plugins. The
    # page defines them after these settings.
    "SWAGGER_UI_SETTINGS": "{deepLinking: true, validatorUrl: null, "
    "get plugins() { return [...plugins, ExactNumbers]; }}",
}
