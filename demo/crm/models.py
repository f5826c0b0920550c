"""Local copies of Salesforce objects. Mirrors overwrite changes made here."""

from django.db import models


class MirrorManager(models.Manager):
    """Leaves out deleted records, and records that are not completely known yet."""

    def get_queryset(self):
        return super().get_queryset().filter(is_deleted=False, is_complete=True)


class Account(models.Model):
    """Account, mirrored from Salesforce."""

    salesforce_object = "Account"

    salesforce_id = models.CharField(
        max_length=18,
        primary_key=True,
        help_text="Account ID",
    )
    name = models.TextField(null=True, help_text="Name")
    type = models.TextField(null=True, help_text="Type")
    industry = models.TextField(null=True, help_text="Industry")
    phone = models.TextField(null=True, help_text="Phone")
    website = models.TextField(null=True, help_text="Website")
    billing_city = models.TextField(null=True, help_text="BillingCity")
    billing_country = models.TextField(null=True, help_text="BillingCountry")
    annual_revenue = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        null=True,
        help_text="AnnualRevenue",
    )
    number_of_employees = models.BigIntegerField(
        null=True,
        help_text="NumberOfEmployees",
    )
    owner_id = models.CharField(
        max_length=18,
        null=True,
        db_index=True,
        help_text="OwnerId: the id of a User",
    )
    created_date = models.DateTimeField(null=True, help_text="CreatedDate")

    # Written by the mirror. `version` is the LastModifiedDate; `raw` has the fields
    # without a column.
    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()

    def __str__(self):
        return self.name or self.salesforce_id


class Contact(models.Model):
    """Contact, mirrored from Salesforce."""

    salesforce_object = "Contact"

    salesforce_id = models.CharField(
        max_length=18,
        primary_key=True,
        help_text="Contact ID",
    )
    name = models.TextField(null=True, help_text="Name")
    first_name = models.TextField(null=True, help_text="FirstName")
    last_name = models.TextField(null=True, help_text="LastName")
    account_id = models.CharField(
        max_length=18,
        null=True,
        db_index=True,
        help_text="AccountId: the id of an Account",
    )
    title = models.TextField(null=True, help_text="Title")
    email = models.TextField(null=True, help_text="Email")
    phone = models.TextField(null=True, help_text="Phone")
    mailing_city = models.TextField(null=True, help_text="MailingCity")
    owner_id = models.CharField(
        max_length=18,
        null=True,
        db_index=True,
        help_text="OwnerId: the id of a User",
    )

    # Written by the mirror. `version` is the LastModifiedDate; `raw` has the fields
    # without a column.
    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()

    def __str__(self):
        return self.name or self.salesforce_id
