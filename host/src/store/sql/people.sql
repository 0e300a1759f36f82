-- Patients and users of the application (patients.rs, users.rs).

-- fragment: patient_fields
-- The payload's fields, in the order of `PatientDraft::FIELDS`: a patient travels as its own JSON.
patient_id, family_name, given_name, birth_date, gender, middle_name, native_family_name, native_given_name,
title, suffix, marital_status, phone_home, phone_mobile, phone_work, email, street, street_line_2, city,
state, postal_code, country, language, race, ethnicity, national_id, deceased_date

-- fragment: patient_columns
-- What `patients::stored` reads.
t.patient_id, t.family_name, t.given_name, t.birth_date, t.gender, t.middle_name, t.native_family_name,
t.native_given_name, t.title, t.suffix, t.marital_status, t.phone_home, t.phone_mobile, t.phone_work, t.email,
t.street, t.street_line_2, t.city, t.state, t.postal_code, t.country, t.language, t.race, t.ethnicity,
t.national_id, t.deceased_date, t.openemr_patient_id, t.fhir_patient_id

-- fragment: replace_patient
-- The ids that targets gave stay.
{on_conflict(patient_id)}
    family_name = {new(family_name)}, given_name = {new(given_name)}, birth_date = {new(birth_date)},
    gender = {new(gender)}, middle_name = {new(middle_name)}, native_family_name = {new(native_family_name)},
    native_given_name = {new(native_given_name)}, title = {new(title)}, suffix = {new(suffix)},
    marital_status = {new(marital_status)}, phone_home = {new(phone_home)},
    phone_mobile = {new(phone_mobile)}, phone_work = {new(phone_work)}, email = {new(email)},
    street = {new(street)}, street_line_2 = {new(street_line_2)}, city = {new(city)}, state = {new(state)},
    postal_code = {new(postal_code)}, country = {new(country)}, language = {new(language)},
    race = {new(race)}, ethnicity = {new(ethnicity)}, national_id = {new(national_id)},
    deceased_date = {new(deceased_date)}, updated_at = {new(updated_at)}

-- name: list_patients
SELECT {patient_columns} FROM patient_cache t WHERE t.patient_id > :after ORDER BY t.patient_id LIMIT :limit;

-- name: changed_patients
-- The ids of those that were written or merged since a time. A count, so that each merge is one lookup.
SELECT t.patient_id
FROM patient_cache t
WHERE t.patient_id > :after
    AND (t.updated_at >= :since OR (SELECT COUNT(*) FROM patient_merge m
        WHERE m.patient_id = t.patient_id AND m.merged_at >= :since) > 0)
ORDER BY t.patient_id
LIMIT :limit;

-- name: touch_patient
-- Counts a patient as changed now, whose merge was undone.
UPDATE patient_cache SET updated_at = {now} WHERE patient_id = :patient_id;

-- name: patients_by_id
SELECT {patient_columns}
FROM patient_cache t
WHERE {key_in_batch(t.patient_id, patient_id, {batch(patient_id text)})}
ORDER BY t.patient_id;

-- name: lock_patients_by_id
-- Keeps others from changing them, so that the changes of one patient get their ids in the order of its states.
SELECT {patient_columns}
FROM patient_cache t
WHERE {key_in_batch(t.patient_id, patient_id, {batch(patient_id text)})}
ORDER BY t.patient_id
{lock_rows};

-- name: hold_patients
-- Keeps others from deleting and merging these patients, of whom a record is written.
SELECT t.patient_id
FROM patient_cache t
WHERE {key_in_batch(t.patient_id, patient_id, {batch(patient_id text)})}
ORDER BY t.patient_id
{share_rows};

-- name: put_patients
-- A few patients.
INSERT INTO patient_cache
    ({patient_fields}, created_at, updated_at)
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    {now}, {now}
FROM {batch(patient_id text, family_name text, given_name text, birth_date text, gender text, middle_name text,
    native_family_name text, native_given_name text, title text, suffix text, marital_status text,
    phone_home text, phone_mobile text, phone_work text, email text, street text, street_line_2 text,
    city text, state text, postal_code text, country text, language text, race text, ethnicity text,
    national_id text, deceased_date text)}
{where_true}
{replace_patient};

-- name: put_patient_block (sqlite, mysql)
-- Many patients.
INSERT INTO patient_cache
    ({patient_fields}, created_at, updated_at)
VALUES (:rows, {now}, {now})...
{replace_patient};

-- name: put_patient_block (postgres)
INSERT INTO patient_cache
    ({patient_fields}, created_at, updated_at)
SELECT j.patient_id, j.family_name, j.given_name, j.birth_date, j.gender, j.middle_name, j.native_family_name,
    j.native_given_name, j.title, j.suffix, j.marital_status, j.phone_home, j.phone_mobile, j.phone_work,
    j.email, j.street, j.street_line_2, j.city, j.state, j.postal_code, j.country, j.language, j.race,
    j.ethnicity, j.national_id, j.deceased_date,
    {now}, {now}
FROM unnest(:rows) AS j(
    {patient_fields})
{replace_patient};

-- name: delete_patient
DELETE FROM patient_cache WHERE patient_id = :patient_id;

-- name: list_users
SELECT username, display_name, role, email, department, password_hash FROM {users_table} ORDER BY username;

-- name: put_user
INSERT INTO {users_table} (username, display_name, role, email, department, password_hash, created_at, updated_at)
VALUES (:username, :display_name, :role, :email, :department, :password_hash, {now}, {now})
{on_conflict(username)} display_name = {new(display_name)}, role = {new(role)}, email = {new(email)},
    department = {new(department)}, password_hash = {new(password_hash)}, updated_at = {new(updated_at)};
