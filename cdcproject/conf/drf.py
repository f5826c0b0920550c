"""How the REST API is set up: who may call it, how often, and what it answers."""

from typing import Any

#: Requests of an address without a user, and tests of logins by a user. The settings say how often
#: a user may ask.
THROTTLE_RATES = {"anon": "60/min", "login": "6/min"}

REST_FRAMEWORK: dict[str, Any] = {
    # The token first: who sends neither is told so by a 401 that names it.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.protocol.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["api.protocol.permissions.ModelPermissions"],
    # JSON alone: a browsable page would put what was typed into its forms again.
    "DEFAULT_PARSER_CLASSES": ["api.protocol.rendering.Parser"],
    "DEFAULT_RENDERER_CLASSES": ["api.protocol.rendering.Renderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_FILTER_BACKENDS": ["api.protocol.filtering.StrictFilters"],
    "DEFAULT_PAGINATION_CLASS": "api.protocol.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "api.protocol.problems.answer",
    # The settings say how often, and whose proxies are believed.
    "DEFAULT_THROTTLE_CLASSES": [
        "api.protocol.throttling.AnonThrottle",
        "api.protocol.throttling.UserThrottle",
    ],
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Salesforce CDC",
    "DESCRIPTION": "Connections, listeners and handlers of Salesforce Change Data Capture, and "
    "what was recorded. Secrets go in and never come out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+",
    "SERVE_INCLUDE_SCHEMA": False,
    # What is sent and what is answered are two shapes: secrets are in the first only.
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.protocol.schema.add_problems",
        "api.protocol.schema.add_etags",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeliveryState": "handlers.models.Delivery.State",
        "ListenerState": "listeners.listener_state.STATES",
        "RedeliveryState": "handlers.models.Redelivery.State",
    },
    # Everything from this server: the page works without the internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # JavaScript, to add the plugin of api/static/api/exact_numbers.js to the page's own, which are
    # defined after these settings.
    "SWAGGER_UI_SETTINGS": "{deepLinking: true, validatorUrl: null, "
    "get plugins() { return [...plugins, ExactNumbers]; }}",
}
