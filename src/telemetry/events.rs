//! tmp
#[derive(Debug,Clone,Copy)]
pub enum Happening{Issued,Verified,Delivered,Rotated,Revoked,TargetRestored,ConnectionRestored,ConnectionLost,BreakerOpen,AmbiguousCreate,VerifyFailed,RevocationPending}
impl Happening{pub fn as_str(self)->&'static str{""}}
#[derive(Debug)]
pub struct Recorder;
impl Recorder{pub fn publish<K>(&self,_:&K,_:Happening,_:String){}}
