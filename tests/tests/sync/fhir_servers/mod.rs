//! The promises on every FHIR server that we have: one test for each promise and each server, in a module of the
//! server's name.
//!
//! `promises` has what must hold on all of them, `broken` the same while hosts die and the network fails. `validity`
//! and `audit` show that independent validators accept what was written, and what is exported. A server's own way is
//! its own: nothing here asks which one it is.

mod audit;
mod broken;
mod clinical;
mod promises;
pub(crate) mod server;
mod validity;

macro_rules! on_each_server {
    ($promises:tt; $($module:ident: $backend:ident),*) => {
        $(on_server!($module, $backend, $promises);)*
    };
}

macro_rules! on_server {
    ($module:ident, $backend:ident, [$($file:ident::$promise:ident),*]) => {
        mod $module {
            $(
                #[test]
                fn $promise() {
                    let backend = tests::environment::Backend::$backend;
                    let Some(server) = super::server::Server::reach(backend) else { return };
                    super::$file::$promise(&server);
                }
            )*
        }
    };
}

on_each_server!(
    [
        promises::patients_are_created_once_updated_and_deactivated,
        promises::what_was_delivered_and_forgotten_is_found_again,
        promises::what_others_wrote_on_a_record_is_kept,
        promises::what_others_wrote_on_a_record_without_a_link_is_kept,
        promises::an_edit_of_our_elements_is_held_for_a_person,
        promises::a_record_that_others_deleted_is_a_conflict_and_comes_back_when_a_person_says_so,
        promises::two_records_of_one_patient_are_a_conflict,
        promises::a_double_that_others_make_while_we_create_is_a_conflict_at_once,
        promises::a_create_that_is_cut_off_is_refused_by_everyone,
        clinical::seeded_records_arrive_or_are_skipped_with_the_servers_word,
        broken::hosts_that_are_killed_double_nothing,
        broken::connections_that_are_cut_after_sending_double_nothing,
        broken::requests_that_arrive_late_double_nothing_and_turn_nothing_back,
        broken::a_server_that_answers_too_late_gets_every_patient_once
    ];
    sekmet: Fhir, hapi: Hapi, medplum: Medplum, fhirstarter: FhirStarter
);
