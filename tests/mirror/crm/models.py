"""Local copies of the simulator's objects."""

from django.db import models


class MirrorManager(models.Manager):  # type: ignore[type-arg]
    """Leaves out deleted records, and records that are not completely known yet."""

    def get_queryset(self):
        return super().get_queryset().filter(is_deleted=False, is_complete=True)


class Account(models.Model):
    """Account, kept equal to Salesforce by a mirror, which overwrites other changes."""

    salesforce_object = "Account"

    salesforce_id = models.CharField("Account ID", max_length=18, primary_key=True)
    name = models.TextField("Account Name", null=True)
    type = models.TextField("Account Type", null=True)
    industry = models.TextField("Industry", null=True)
    phone = models.TextField("Account Phone", null=True)
    website = models.TextField("Website", null=True)
    billing_street = models.TextField("Billing Street", null=True)
    billing_city = models.TextField("Billing City", null=True)
    billing_state = models.TextField("Billing State", null=True)
    billing_postal_code = models.TextField("Billing Postal Code", null=True)
    billing_country = models.TextField("Billing Country", null=True)
    billing_latitude = models.FloatField("Billing Latitude", null=True)
    billing_longitude = models.FloatField("Billing Longitude", null=True)
    billing_geocode_accuracy = models.TextField("Billing Geocode Accuracy", null=True)
    annual_revenue = models.DecimalField(
        "Annual Revenue", max_digits=38, decimal_places=18, null=True
    )
    number_of_employees = models.BigIntegerField("Employees", null=True)
    description = models.TextField("Account Description", null=True)
    clean_status = models.TextField("Clean Status", null=True)
    owner_id = models.CharField("Owner ID", max_length=18, null=True, db_index=True)
    created_date = models.DateTimeField("Created Date", null=True)
    created_by_id = models.CharField("Created By ID", max_length=18, null=True, db_index=True)
    last_modified_by_id = models.CharField(
        "Last Modified By ID", max_length=18, null=True, db_index=True
    )
    external_id = models.TextField("External Id", null=True, db_index=True)

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
    """Contact, kept equal to Salesforce by a mirror, which overwrites other changes."""

    salesforce_object = "Contact"

    salesforce_id = models.CharField("Contact ID", max_length=18, primary_key=True)
    name = models.TextField("Full Name", null=True)
    salutation = models.TextField("Salutation", null=True)
    first_name = models.TextField("First Name", null=True)
    middle_name = models.TextField("Middle Name", null=True)
    last_name = models.TextField("Last Name", null=True)
    suffix = models.TextField("Suffix", null=True)
    account_id = models.CharField("Account ID", max_length=18, null=True, db_index=True)
    title = models.TextField("Title", null=True)
    email = models.TextField("Email", null=True)
    phone = models.TextField("Business Phone", null=True)
    mailing_street = models.TextField("Mailing Street", null=True)
    mailing_city = models.TextField("Mailing City", null=True)
    mailing_postal_code = models.TextField("Mailing Postal Code", null=True)
    birthdate = models.DateField("Birthdate", null=True)
    owner_id = models.CharField("Owner ID", max_length=18, null=True, db_index=True)
    created_date = models.DateTimeField("Created Date", null=True)
    external_id = models.TextField("External Id", null=True, db_index=True)

    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()

    def __str__(self):
        return self.name or self.salesforce_id


class Opportunity(models.Model):
    """Opportunity, kept equal to Salesforce by a mirror, which overwrites other changes."""

    salesforce_object = "Opportunity"

    salesforce_id = models.CharField("Opportunity ID", max_length=18, primary_key=True)
    name = models.TextField("Name", null=True)
    account_id = models.CharField("Account ID", max_length=18, null=True, db_index=True)
    stage_name = models.TextField("Stage", null=True)
    amount = models.DecimalField("Amount", max_digits=38, decimal_places=18, null=True)
    probability = models.DecimalField(
        "Probability (%)", max_digits=38, decimal_places=18, null=True
    )
    close_date = models.DateField("Close Date", null=True)
    next_step = models.TextField("Next Step", null=True)
    created_date = models.DateTimeField("Created Date", null=True)

    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()

    def __str__(self):
        return self.name or self.salesforce_id


class Employee(models.Model):
    """Employee__c, kept equal to Salesforce by a mirror, which overwrites other changes."""

    salesforce_object = "Employee__c"
    salesforce_fields = {"years_here": "Tenure__c"}

    salesforce_id = models.CharField("Employee ID", max_length=18, primary_key=True)
    name = models.TextField("Employee Number", null=True)
    first_name = models.TextField("First Name", null=True)
    last_name = models.TextField("Last Name", null=True)
    years_here = models.DecimalField("Tenure", max_digits=38, decimal_places=18, null=True)
    department = models.TextField("Department", null=True)
    notes = models.TextField("Notes", null=True)

    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects = MirrorManager()
    all_objects = models.Manager()

    def __str__(self):
        return self.name or self.salesforce_id
