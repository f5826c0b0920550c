"""Tokens of the API stay out of the console, whose list of them would show the keys."""

from django.contrib import admin
from rest_framework.authtoken.models import TokenProxy

admin.site.unregister(TokenProxy)
