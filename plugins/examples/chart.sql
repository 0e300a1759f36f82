-- The table of the adapter `example-chart`, as every database takes it.
CREATE TABLE example_chart (
  patient_id VARCHAR(64) NOT NULL PRIMARY KEY,
  family_name VARCHAR(100) NOT NULL,
  given_name VARCHAR(100) NOT NULL,
  birth_date VARCHAR(10) NOT NULL,
  phone VARCHAR(40)
);
