//! Which commands the audit records. A new command does not compile until it has its place here.

use super::{Verb, alerts, audit, failed, patient, plugin, target};
use crate::domain::audit::AuditAction;

/// The commands that the audit does not record, and why (docs/audit.md shows the same list).
#[cfg(test)]
pub(super) const NOT_AUDITED: &[(&str, &str)] = &[
    ("audit head", "shows a number and a hash; an event would move the head that it shows"),
    ("audit verify", "reads the events and shows none"),
    ("check", "changes nothing, and shows no patient's data"),
    ("completions", "prints a script"),
    ("plugin history", "shows adapters only"),
    ("plugin inspect", "shows a file only"),
    ("plugin keygen", "makes a file, without a store"),
    ("plugin list", "shows adapters only"),
    ("plugin new", "makes files, without a store"),
    ("plugin push", "sends a file to a registry, without a store"),
    ("plugin sign", "makes a file, without a store"),
    ("plugin test", "uses private databases, with made-up patients"),
    ("plugin verify", "shows a file only"),
    (
        "run",
        "is the host's own work; `sync_delivery` holds each delivery, and `host audit export --deliveries` exports it",
    ),
];

/// The action that the audit records a command as.
pub(super) fn action(verb: &Verb) -> Option<AuditAction> {
    match verb {
        Verb::Seed(_) => Some(AuditAction::Seed),
        Verb::Import(_) => Some(AuditAction::Import),
        // Without an aggregate it shows counts and the ids of the last deliveries, and monitoring polls it.
        Verb::Status(arguments) => arguments.is_of_one().then_some(AuditAction::Status),
        Verb::Retry(_) => Some(AuditAction::Retry),
        Verb::Failed(failed::Verb::List(_)) => Some(AuditAction::FailedList),
        Verb::Failed(failed::Verb::Dismiss(_)) => Some(AuditAction::FailedDismiss),
        Verb::Waiting(_) => Some(AuditAction::Waiting),
        Verb::Trace(_) => Some(AuditAction::Trace),
        Verb::Why(_) => Some(AuditAction::Why),
        Verb::Verify(_) => Some(AuditAction::Verify),
        Verb::Conflicts(arguments) if arguments.resolves() => Some(AuditAction::ConflictsResolve),
        Verb::Conflicts(_) => Some(AuditAction::ConflictsList),
        Verb::Resync(_) => Some(AuditAction::Resync),
        Verb::Alerts(alerts::Verb::List(_)) => Some(AuditAction::AlertsList),
        Verb::Alerts(alerts::Verb::Ack(_)) => Some(AuditAction::AlertsAck),
        Verb::Alerts(alerts::Verb::Test) => Some(AuditAction::AlertsTest),
        Verb::Migrate => Some(AuditAction::Migrate),
        // It shows how the host is used, and leaves the machine.
        Verb::SupportBundle(_) => Some(AuditAction::SupportBundle),
        Verb::Patient(verb) => Some(of_patient(verb)),
        Verb::Plugin(verb) => of_plugin(verb),
        Verb::Target(verb) => Some(of_target(verb)),
        Verb::Audit(audit::Verb::List(_)) => Some(AuditAction::AuditList),
        Verb::Audit(audit::Verb::Export(_)) => Some(AuditAction::AuditExport),
        Verb::Audit(audit::Verb::Verify(_) | audit::Verb::Head(_))
        | Verb::Run(_)
        | Verb::Check(_)
        | Verb::CompileAdapter { .. }
        | Verb::Completions { .. } => None,
    }
}

fn of_patient(verb: &patient::Verb) -> AuditAction {
    match verb {
        patient::Verb::List { .. } => AuditAction::PatientList,
        patient::Verb::Show { .. } => AuditAction::PatientShow,
        patient::Verb::Put { .. } => AuditAction::PatientPut,
        patient::Verb::Delete { .. } => AuditAction::PatientDelete,
        patient::Verb::Merge { .. } => AuditAction::PatientMerge,
        patient::Verb::Unmerge { .. } => AuditAction::PatientUnmerge,
    }
}

fn of_target(verb: &target::Verb) -> AuditAction {
    match verb {
        target::Verb::Pause(_) => AuditAction::TargetPause,
        target::Verb::Resume(_) => AuditAction::TargetResume,
        target::Verb::Probe(_) => AuditAction::TargetProbe,
        target::Verb::Disable(_) => AuditAction::TargetDisable,
    }
}

fn of_plugin(verb: &plugin::Verb) -> Option<AuditAction> {
    match verb {
        plugin::Verb::Install(_) => Some(AuditAction::PluginInstall),
        plugin::Verb::Accept(_) => Some(AuditAction::PluginAccept),
        plugin::Verb::DryRun(_) => Some(AuditAction::PluginDryRun),
        plugin::Verb::Replay(_) => Some(AuditAction::PluginReplay),
        plugin::Verb::Rollback(_) => Some(AuditAction::PluginRollback),
        plugin::Verb::Reload(_) => Some(AuditAction::PluginReload),
        plugin::Verb::List { .. }
        | plugin::Verb::Inspect(_)
        | plugin::Verb::Push(_)
        | plugin::Verb::Keygen(_)
        | plugin::Verb::Sign(_)
        | plugin::Verb::Verify(_)
        | plugin::Verb::New(_)
        | plugin::Verb::Test(_)
        | plugin::Verb::History(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::*;

    /// Every visible command without commands below it, and `conflicts`, whose default is `conflicts list`.
    fn leaves() -> BTreeSet<String> {
        fn collect(words: &str, command: &clap::Command, found: &mut BTreeSet<String>) {
            let below: Vec<_> =
                command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help").collect();
            if below.is_empty() {
                found.insert(words.trim().to_owned());
            }
            for below in below {
                collect(&format!("{words} {}", below.get_name()), below, found);
            }
        }
        let mut root = super::super::Cli::command();
        root.build();
        let mut found = BTreeSet::new();
        collect("", &root, &mut found);
        found
    }

    #[test]
    fn every_command_is_audited_or_has_a_reason_not_to_be() {
        let audited: BTreeSet<String> = AuditAction::WORDS.iter().map(|word| (*word).to_owned()).collect();
        let not_audited: BTreeSet<String> = NOT_AUDITED.iter().map(|(command, _)| (*command).to_owned()).collect();
        assert!(audited.is_disjoint(&not_audited), "a command is on both lists");
        let listed: BTreeSet<String> = audited.union(&not_audited).cloned().collect();
        assert_eq!(listed, leaves());
        assert!(NOT_AUDITED.iter().all(|(_, reason)| reason.len() > 10));
    }

    #[test]
    fn the_page_lists_every_command() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (command, reason) in NOT_AUDITED {
            let row = format!("| `{command}` | {reason} |");
            assert!(page.contains(&row), "docs/audit.md lacks: {row}");
        }
        for command in AuditAction::WORDS {
            let row = format!("| `{command}` |");
            assert!(page.contains(&row), "docs/audit.md lacks: {row}");
        }
    }
}
