//! What the programs log. Those that are for use log nothing; a build with the feature `bpf-log`
//! embeds such as do, and reads it.

#[cfg(not(feature = "bpf-log"))]
pub(super) use nothing::ProgramLog;
#[cfg(feature = "bpf-log")]
pub(super) use reader::ProgramLog;

#[cfg(feature = "bpf-log")]
mod reader {
    use std::iter;
    use std::os::fd::{AsFd as _, BorrowedFd};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use aya_log::EbpfLogger;
    use log::{Log, Metadata, Record};

    use crate::kernel::bpf::{BpfError, failed, pins};

    /// The log of the pinned programs, whose map they share.
    pub(in super::super) struct ProgramLog {
        logger: EbpfLogger<Sink>,
        lines: Receiver<String>,
    }

    impl ProgramLog {
        /// Opens it; what nobody read is gone.
        pub(in super::super) fn open() -> Result<Self, BpfError> {
            let program = pins::program()?;
            let id = program.info().map_err(failed("examine", "the program"))?;
            let (sink, lines) = channel();
            let logger = EbpfLogger::init_from_id_with_logger(id.id(), Sink(sink));
            let mut logger = logger.map_err(|source| match source {
                aya_log::Error::MapNotFound => BpfError::NoLog,
                source => failed("open", "the programs' log")(source),
            })?;
            logger.flush();
            while lines.try_recv().is_ok() {}
            Ok(Self { logger, lines })
        }

        /// The next line, if there is one.
        pub(in super::super) fn next_line(&mut self) -> Option<String> {
            self.logger.flush();
            self.lines.try_recv().ok()
        }

        /// Readable when there are lines.
        pub(in super::super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
            iter::once(self.logger.as_fd())
        }
    }

    /// Where aya-log puts what it read.
    struct Sink(Sender<String>);

    impl Log for Sink {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            // The receiver goes together with the logger that calls this.
            let _ = self.0.send(record.args().to_string());
        }

        fn flush(&self) {}
    }
}

#[cfg(not(feature = "bpf-log"))]
mod nothing {
    use std::iter;
    use std::os::fd::BorrowedFd;

    use crate::kernel::bpf::BpfError;

    /// No log.
    pub(in super::super) struct ProgramLog;

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the interface of the one that reads"
    )]
    impl ProgramLog {
        pub(in super::super) fn open() -> Result<Self, BpfError> {
            Ok(Self)
        }

        pub(in super::super) fn next_line(&mut self) -> Option<String> {
            None
        }

        pub(in super::super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
            iter::empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::bpf::object;

    #[test]
    fn only_programs_for_debugging_have_a_log() {
        let object = aya_obj::Object::parse(object::OBJECT).expect("the embedded object is one");
        assert!(object.maps.contains_key("PORTS"));
        let has_log = object.maps.contains_key("AYA_LOGS");
        assert_eq!(has_log, cfg!(feature = "bpf-log"));
    }
}
